"""Peak signal-to-noise ratio, as pyiqa 0.1.16 defines it (``psnr``, BT.601 luma or RGB)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inscene.quality.inputs import check_pair
from inscene.quality.luma import luma

ByteImage = NDArray[np.uint8]

_EPS = 1e-8
"""Added to the error of images in 0..1: equal images score 80 dB, not infinity."""


def psnr_y(image: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """PSNR of the luma, dB. Both (H, W, 3) 8-bit RGB; raises :class:`SampleError` otherwise."""
    check_pair(image, reference)
    return _psnr(luma(image) - luma(reference))


def psnr_rgb(image: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """PSNR over the three channels, dB. Both (H, W, 3) 8-bit RGB; raises :class:`SampleError`."""
    check_pair(image, reference)
    return _psnr(image.astype(np.float64) - reference)


class PsnrY:
    """:func:`psnr_y` as a metric."""

    def __call__(self, images: Sequence[ByteImage], references: Sequence[ByteImage]) -> list[float]:
        return [psnr_y(*pair) for pair in zip(images, references, strict=True)]


class PsnrRgb:
    """:func:`psnr_rgb` as a metric."""

    def __call__(self, images: Sequence[ByteImage], references: Sequence[ByteImage]) -> list[float]:
        return [psnr_rgb(*pair) for pair in zip(images, references, strict=True)]


def _psnr(difference: NDArray[np.float64]) -> float:
    error = float(np.mean(np.square(difference / 255.0)))
    return 10.0 * math.log10(1.0 / (error + _EPS))
