"""Face detectors, all with one interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from inscene.faces.face import Face

ByteImage = npt.NDArray[np.uint8]


class FaceDetector(Protocol):
    def detect(
        self, images: Sequence[ByteImage], stored: Sequence[Face | None] = ()
    ) -> list[list[Face]]:
        """The faces of each image (uint8 RGB, height × width × 3, upright, of any sizes), the
        largest first; none is an empty list.

        ``stored`` is what the dataset has of each image, one entry an image or empty; only
        :class:`~inscene.faces.detectors.metadata.Metadata` looks at it.
        """


def largest_first(boxes: Any, scores: Any, points: Any) -> list[Face]:
    """n faces of arrays: n × 4, n, n × 5 × 2. A box without extent is no face."""
    faces = [
        Face((float(x0), float(y0), float(x1), float(y1)), float(score), landmarks)
        for (x0, y0, x1, y1), score, landmarks in zip(boxes, scores, points, strict=True)
        if x0 < x1 and y0 < y1
    ]
    return sorted(faces, key=lambda face: -face.area)
