"""Bicubic enlargement: the baseline of every super-resolution table."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def bicubic(lq: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bicubic with a = −0.75, as PyTorch's and OpenCV's: S3Diff and Face2Scene enlarge their LQ
    input with this one. Pillow's and MATLAB's have a = −0.5, a little softer."""
    enlarged: NDArray[np.uint8] = cv2.resize(lq, size, interpolation=cv2.INTER_CUBIC)
    return enlarged
