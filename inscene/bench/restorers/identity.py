"""The LQ image itself, each pixel repeated: what a method starts from."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def identity(lq: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Nearest-neighbour enlargement: the only one that adds no pixel value of its own."""
    enlarged: NDArray[np.uint8] = cv2.resize(lq, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return enlarged
