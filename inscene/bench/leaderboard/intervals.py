"""95 % intervals of means, by a bootstrap over clusters.

Images of one person, and degradations of one image, resemble each other: samples are not
independent, their clusters are. A resample draws as many clusters as there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 10_000
SEED = 20_251_121
"""Of all resampling: the same results give the same intervals."""
FEW_CLUSTERS = 20
"""Below it percentile intervals come out too narrow, and boards say so."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def cluster_labels(frame: pd.DataFrame, within_identity: bool = False) -> pd.Series[str]:
    """A label for each row: its identity where that is known, else its sample (all versions).
    ``within_identity``: the rows are one person's, whose samples are all there is to draw from."""
    samples = "sample " + frame["sample_id"].astype(str)
    if within_identity:
        return samples
    known = frame["identity"].notna()
    return samples.where(~known, "identity " + frame["identity"].astype(str))


def bootstrap_means(sums: Floats, counts: Floats) -> list[Interval | None]:
    """Intervals of the means of some columns. ``sums`` and ``counts``: clusters × columns, of the
    values in a cluster. None where fewer than two clusters have values."""
    found: list[Interval | None] = [None] * sums.shape[1]
    present = counts > 0
    # Columns with values in the same clusters share the resamples: drawing them costs most.
    for mask in np.unique(present.T, axis=0):
        columns = np.flatnonzero((present == mask[:, None]).all(axis=0))
        if mask.sum() < 2:
            continue
        shape = np.ix_(mask, columns)
        means = _resampled(sums[shape], counts[shape])
        for column, (low, high) in zip(
            columns, np.percentile(means, (2.5, 97.5), axis=0).T, strict=True
        ):
            found[column] = Interval(float(low), float(high))
    return found


def _resampled(sums: Floats, counts: Floats) -> Floats:
    clusters = len(sums)
    rng = np.random.default_rng(SEED)
    return np.concatenate(
        [
            (drawn @ sums) / (drawn @ counts)
            for size in chunk_sizes()
            for drawn in [_multiplicities(rng.integers(0, clusters, (size, clusters)))]
        ]
    )


def chunk_sizes() -> Iterator[int]:
    """Parts of the resamples that fit a processor's memory for thousands of clusters."""
    done = 0
    while done < RESAMPLES:
        yield min(500, RESAMPLES - done)
        done += 500


def _multiplicities(draws: NDArray[np.int64]) -> Floats:
    """How often each cluster is in each resample: resamples × clusters."""
    rows, clusters = draws.shape
    flat = (draws + clusters * np.arange(rows)[:, None]).ravel()
    return np.bincount(flat, minlength=rows * clusters).reshape(rows, clusters).astype(np.float64)
