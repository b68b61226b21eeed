"""Array types of the degradation chain, and the way in and out of it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from inscene.degrade.compiled import compiled

ByteImage: TypeAlias = npt.NDArray[np.uint8]
"""What comes in and goes out: uint8, 0..255, height × width × 3, R first."""

FloatImage: TypeAlias = npt.NDArray[np.float32]
"""Between the steps: float32, 3 × height × width, R first, with white at 1. Planes and not pixels,
since each of them fills vector registers. Blur and bicubic leave 0..1; noise and JPEG clip."""

Kernel: TypeAlias = npt.NDArray[np.float64]
"""Odd and square, sums to 1, applied as a correlation."""


def to_planes(image: ByteImage) -> FloatImage:
    planes: FloatImage = np.empty((3, *image.shape[:2]), np.float32)
    # A copy where needed: one kind of array means one compilation.
    _spread(np.require(image, np.uint8, ["C", "A", "W"]), planes)
    return planes


@compiled
def _spread(image: ByteImage, planes: FloatImage) -> None:
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for channel in range(3):
                planes[channel, y, x] = np.float32(image[y, x, channel]) / np.float32(255)


def to_bytes(planes: FloatImage) -> ByteImage:
    """Clipped to 0..1 and rounded, halves to even."""
    image: ByteImage = np.empty((*planes.shape[1:], 3), np.uint8)
    _round_to_bytes(planes, image)
    return image


@compiled
def _round_to_bytes(planes: FloatImage, image: ByteImage) -> None:
    for channel in range(3):
        for y in range(planes.shape[1]):
            for x in range(planes.shape[2]):
                value = min(max(planes[channel, y, x], np.float32(0)), np.float32(1))
                image[y, x, channel] = np.uint8(np.rint(value * np.float32(255)))
