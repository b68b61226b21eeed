"""Similarity transforms: rotation, one scale and translation, the four that alignment may use."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inscene.faces.face import Points

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Similarity:
    """``matrix`` is 2 × 3: a point (x, y) goes to ``matrix @ (x, y, 1)``."""

    matrix: Matrix

    @property
    def scale(self) -> float:
        """Length after / length before."""
        return math.sqrt(float(np.linalg.det(self.matrix[:, :2])))

    @property
    def angle(self) -> float:
        """rad, from the x axis towards the y axis (down)."""
        return math.atan2(self.matrix[1, 0], self.matrix[0, 0])

    def __call__(self, points: Points) -> Points:
        moved: Points = np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return moved

    @property
    def inverse(self) -> Similarity:
        linear = np.linalg.inv(self.matrix[:, :2])
        return Similarity(np.hstack([linear, -linear @ self.matrix[:, 2:]]))

    def then_moved(self, dx: float, dy: float) -> Similarity:
        """This transform, then a translation in px."""
        return Similarity(self.matrix + np.array([[0, 0, dx], [0, 0, dy]]))


def fit_similarity(points: Points, targets: Points) -> Similarity:
    """The similarity without reflection that brings ``points`` nearest to ``targets`` in the sum of
    squares (Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", 1991). Both n × 2.

    Raises ``ValueError`` for points that all coincide, or that are not finite.
    """
    points, targets = np.asarray(points, np.float64), np.asarray(targets, np.float64)
    if not (np.isfinite(points).all() and np.isfinite(targets).all()):
        raise ValueError("a similarity needs points that are finite")
    centre, target_centre = points.mean(0), targets.mean(0)
    around, target_around = points - centre, targets - target_centre
    spread = float((around**2).sum())
    if spread < 1e-12:
        raise ValueError("a similarity needs points that do not coincide")
    # In the plane the best rotation is that of the complex number Σ conj(p)·q.
    real = float((around * target_around).sum())
    imaginary = float(
        (around[:, 0] * target_around[:, 1] - around[:, 1] * target_around[:, 0]).sum()
    )
    if math.hypot(real, imaginary) < 1e-12 * spread:
        raise ValueError("the points and their targets have no similarity in common")
    a, b = real / spread, imaginary / spread
    linear = np.array([[a, -b], [b, a]])
    return Similarity(np.hstack([linear, (target_centre - linear @ centre)[:, None]]))
