"""Face detectors, all with one interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inscene.faces.face import Face

ByteImage = npt.NDArray[np.uint8]


class FaceDetector(Protocol):
    def detect(self, images: Sequence[ByteImage]) -> list[list[Face]]:
        """The faces of each image (uint8 RGB, height × width × 3, upright, of any sizes), the
        largest first; none is an empty list."""
