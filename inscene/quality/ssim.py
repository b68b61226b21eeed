"""Structural similarity (Wang et al. 2004), as pyiqa 0.1.16 defines it (``ssim``, BT.601 luma).

Its particulars: luma rounded to integers, Gaussian window 11 × 11 of sigma 1.5, only windows that
lie inside the image, and negative structure terms counted as zero. (scikit-image's
``structural_similarity`` does not clip: it differs where two images contradict each other.)
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from inscene.errors import SampleError
from inscene.quality.inputs import check_pair
from inscene.quality.luma import luma

WINDOW_PX = 11
_KERNEL = cv2.getGaussianKernel(WINDOW_PX, 1.5, cv2.CV_64F)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Plane = NDArray[np.float64]


def ssim_y(image: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Mean SSIM of the luma, 0..1. Both (H, W, 3) 8-bit RGB, each side at least 11 px; raises
    :class:`SampleError` otherwise."""
    check_pair(image, reference)
    if min(image.shape[:2]) < WINDOW_PX:
        height, width = image.shape[:2]
        raise SampleError("image_too_small", f"{width}x{height}, the window is {WINDOW_PX} px")
    x, y = np.rint(luma(image)), np.rint(luma(reference))
    mean_x, mean_y = _window(x), _window(y)
    var_x = _window(x * x) - mean_x**2
    var_y = _window(y * y) - mean_y**2
    covariance = _window(x * y) - mean_x * mean_y
    structure = np.maximum((2 * covariance + _C2) / (var_x + var_y + _C2), 0.0)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return float(np.mean(luminance * structure))


class SsimY:
    """:func:`ssim_y` as a metric."""

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], references: Sequence[NDArray[np.uint8]]
    ) -> list[float]:
        return [ssim_y(*pair) for pair in zip(images, references, strict=True)]


def _window(plane: Plane) -> Plane:
    """Weighted means over the windows that lie inside: smaller by 10 px on each axis."""
    margin = WINDOW_PX // 2
    means: Plane = cv2.sepFilter2D(plane, cv2.CV_64F, _KERNEL, _KERNEL)
    return means[margin:-margin, margin:-margin]
