"""A face that was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""n × 2, x and y in px; the centre of the upper left pixel is (0, 0)."""

LEFT_EYE, RIGHT_EYE, NOSE, LEFT_MOUTH, RIGHT_MOUTH = range(5)
"""Rows of five landmarks, everywhere; left and right as the viewer sees them."""


@dataclass(frozen=True, eq=False)
class Face:
    """One face in an image that is upright."""

    bbox: tuple[float, float, float, float]
    """x0, y0, x1, y1 in px; may reach beyond the image."""
    score: float
    """The detector's confidence, 0..1; 1 for what was given and not detected."""
    landmarks5: Points
    """5 × 2, in the order of :data:`LEFT_EYE` .. :data:`RIGHT_MOUTH`."""

    def __post_init__(self) -> None:
        points = np.asarray(self.landmarks5, np.float64)
        numbers = np.concatenate([points.ravel(), self.bbox, [self.score]])
        if points.shape != (5, 2) or not np.isfinite(numbers).all():
            raise ValueError(f"five points of x and y are needed, got {points.shape}")
        x0, y0, x1, y1 = self.bbox
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"a box is x0 < x1 and y0 < y1, got {self.bbox}")
        object.__setattr__(self, "landmarks5", points)

    @property
    def area(self) -> float:
        """Of the box, px²."""
        x0, y0, x1, y1 = self.bbox
        return (x1 - x0) * (y1 - y0)
