"""The Fréchet distance of two sets of features, from the features or from their moments.

Computed in float64 without ``scipy.linalg.sqrtm``, which is slow and loses its ``disp`` argument
in SciPy 1.18, on which pyiqa's FID breaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Features = NDArray[np.floating[Any]]
Float64s = NDArray[np.float64]

SVD_MAX = 2048
"""Images of a set up to which singular values are the quicker way (of 2,048 features)."""


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter (summed outer products of the differences to the mean) of features.

    Parts of a set are merged in any grouping; in one and the same order, to the same bits.
    """

    n: int
    mean: Float64s
    m2: Float64s

    @classmethod
    def empty(cls, features: int) -> Moments:
        return cls(0, np.zeros(features), np.zeros((features, features)))

    @classmethod
    def of(cls, features: Features) -> Moments:
        """Of features (n, d)."""
        if not len(features):
            return cls.empty(features.shape[1])
        mean, centred = _centred(features)
        return cls(len(features), mean, centred.T @ centred)

    def add(self, features: Features) -> Moments:
        """With those of more images, (n, d)."""
        return self.merge(Moments.of(features))

    def merge(self, other: Moments) -> Moments:
        if not other.n:
            return self
        if not self.n:
            return other
        n = self.n + other.n
        shift = other.mean - self.mean
        between = np.outer(shift, shift) * (self.n * other.n / n)
        return Moments(n, self.mean + shift * (other.n / n), self.m2 + other.m2 + between)

    @property
    def covariance(self) -> Float64s:
        """Unbiased. Raises ``ValueError`` for fewer than two."""
        _must_have_two(self.n)
        return self.m2 / (self.n - 1)


def frechet_from_features(a: Features, b: Features) -> float:
    """FID of two sets of features, (n, d) and (m, d). Raises ``ValueError`` for fewer than two in
    one."""
    _must_have_two(len(a), len(b))
    if max(len(a), len(b)) > SVD_MAX:
        return frechet_from_moments(Moments.of(a), Moments.of(b))
    mean_a, centred_a = _centred(a)
    mean_b, centred_b = _centred(b)
    centred_a /= np.sqrt(len(a) - 1)
    centred_b /= np.sqrt(len(b) - 1)
    # The trace of sqrt(C_a C_b) is the sum of the singular values of A Bᵀ, n × m.
    cross = np.sum(scipy.linalg.svdvals(centred_a @ centred_b.T))
    own = np.sum(np.square(centred_a)) + np.sum(np.square(centred_b))
    return float(np.sum(np.square(mean_a - mean_b)) + own - 2 * cross)


def frechet_from_moments(a: Moments, b: Moments) -> float:
    """FID of two sets of which only the moments are known. Raises ``ValueError`` for fewer than two
    images in one."""
    _must_have_two(a.n, b.n)
    covariance_a, covariance_b = a.covariance, b.covariance
    # sqrt(C_a) C_b sqrt(C_a) is symmetric and has the eigenvalues of C_a C_b.
    values, vectors = scipy.linalg.eigh(covariance_a)
    root = vectors * np.sqrt(np.maximum(values, 0))
    product = scipy.linalg.eigvalsh(root.T @ covariance_b @ root)
    cross = np.sum(np.sqrt(np.maximum(product, 0)))
    own = np.trace(covariance_a) + np.trace(covariance_b)
    return float(np.sum(np.square(a.mean - b.mean)) + own - 2 * cross)


def _centred(features: Features) -> tuple[Float64s, Float64s]:
    exact = features.astype(np.float64)
    mean: Float64s = exact.mean(axis=0)
    return mean, exact - mean


def _must_have_two(*counts: int) -> None:
    if min(counts) < 2:
        raise ValueError(f"FID needs at least two images in each set, got {min(counts)}")
