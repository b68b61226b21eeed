"""Applying an operator: from a clean image (GT) to its low-quality version (LQ).

The chain is Real-ESRGAN's: sharpen (optional) → blur, resize, noise, JPEG → blur, resize, noise →
a final resize, sinc filter and JPEG in one of two orders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from inscene.degrade import jpeg, usm
from inscene.degrade.arrays import ByteImage, FloatImage, to_bytes, to_planes
from inscene.degrade.blur import blur
from inscene.degrade.kernels import kernel
from inscene.degrade.noise import add_noise, noise_key
from inscene.degrade.operator import Operator
from inscene.degrade.passes import decompose
from inscene.degrade.psf_field import PsfField, matching
from inscene.degrade.resize import resampling, resize
from inscene.degrade.values import (
    Blur,
    EllipseBlur,
    FieldBlur,
    Filter,
    Jpeg,
    LensBlur,
    Noise,
    SincBlur,
)
from inscene.degrade.varying import blur_varying, lens_kernels
from inscene.errors import SampleError

Size = tuple[int, int]
"""(height, width)"""


@dataclass(frozen=True)
class StageSizes:
    """The sizes after each resize; every side is at least 1."""

    first: Size
    second: Size | None
    lq: Size


def stage_sizes(operator: Operator, gt_size: Size) -> StageSizes:
    """The first resize is relative to the GT, the second to GT / sf whatever the first has done."""
    sf, scale = operator.sf, operator.first.resize.scale
    first = _at_least_one(*(math.floor(side * scale) for side in gt_size))
    second = None
    if operator.second is not None:
        scale = operator.second.resize.scale
        second = _at_least_one(*(int(side / sf * scale) for side in gt_size))
    return StageSizes(first, second, lq=_at_least_one(*(side // sf for side in gt_size)))


def _at_least_one(height: int, width: int) -> Size:
    return max(1, height), max(1, width)


def degrade(
    image: ByteImage, operator: Operator, noise_seed: int, psf_field: PsfField | None = None
) -> ByteImage:
    """The LQ of an RGB image, uint8 height × width × 3: uint8, 1/sf of its sides rounded down, at
    least 1 × 1.

    A pure function of its arguments: bit for bit the same in any process with any thread count.
    ``psf_field`` is needed, and checked against its hash, where the operator blurs by one.

    Raises ``ValueError`` for another array, ``UsageError`` for a PSF field that is missing or
    another, and ``SampleError`` with reason ``degrade_non_finite`` where the chain leaves the
    finite numbers; the clean image is never returned in its stead.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"got {image.dtype} of shape {image.shape}, expected uint8 height × width × 3"
        )
    sizes = stage_sizes(operator, (image.shape[0], image.shape[1]))
    chain = _Chain(operator, noise_seed, sizes, psf_field)
    return to_bytes(chain.final(chain.second(chain.first(to_planes(image)))))


def enlarge(lq: ByteImage, size: Size) -> ByteImage:
    """An LQ at the size of its GT, as S3Diff feeds it to the restorer: bicubic (a = -0.75) without
    antialiasing, clipped and rounded."""
    return to_bytes(resize(to_planes(lq), size, "bicubic"))


@dataclass(frozen=True)
class _Chain:
    operator: Operator
    noise_seed: int
    sizes: StageSizes
    psf_field: PsfField | None

    def first(self, x: FloatImage) -> FloatImage:
        stage = self.operator.first
        if self.operator.usm:
            x = usm.sharpen(x)
        legacy_scale = stage.resize.scale if self.operator.registration == "legacy" else None
        x = self._blur_and_resize(
            x, stage.blur, self.sizes.first, stage.resize.filter, legacy_scale
        )
        x = self._noise(x, stage.noise, "first")
        return self._jpeg(x, stage.jpeg)

    def second(self, x: FloatImage) -> FloatImage:
        stage, size = self.operator.second, self.sizes.second
        if stage is None or size is None:
            return x
        x = self._blur_and_resize(x, stage.blur, size, stage.resize.filter)
        return self._noise(x, stage.noise, "second")

    def final(self, x: FloatImage) -> FloatImage:
        final, second = self.operator.final, self.operator.second
        if second is not None and final.order == "jpeg_resize_sinc":
            x = self._jpeg(x, second.jpeg)
        x = resize(x, self.sizes.lq, final.filter)
        x = self._blur(x, final.sinc)
        if second is not None and final.order == "resize_sinc_jpeg":
            x = self._jpeg(x, second.jpeg)
        return self._finite(x, "the final resize")

    def _blur_and_resize(
        self,
        x: FloatImage,
        value: Blur | None,
        size: Size,
        filter: Filter,
        legacy_scale: float | None = None,
    ) -> FloatImage:
        how = resampling((x.shape[1], x.shape[2]), size, filter, legacy_scale)
        if how is None:
            return self._blur(x, value)
        # Channel by channel: what lies between the two steps is the largest array of the chain.
        passes = decompose(kernel(value)) if isinstance(value, EllipseBlur | SincBlur) else None
        if passes is None:
            x = self._blur(x, value)
        resized: FloatImage = np.empty((3, *size), np.float32)
        for channel in range(3):
            one = x[channel : channel + 1]
            how.apply(blur(one, passes) if passes else one, resized[channel : channel + 1])
        return resized

    def _blur(self, x: FloatImage, value: Blur | None) -> FloatImage:
        match value:
            case None:
                return x
            case LensBlur():
                return blur_varying(x, lens_kernels(value, (x.shape[1], x.shape[2])))
            case FieldBlur():
                return blur_varying(x, matching(self.psf_field, value).psf)
            case _:
                return blur(x, decompose(kernel(value)))

    def _noise(self, x: FloatImage, noises: tuple[Noise, ...], stage: str) -> FloatImage:
        for index, noise in enumerate(noises):
            # Clipping would turn NaN into some colour.
            self._finite(x, f"noise {index} of the {stage} stage")
            add_noise(x, noise, noise_key(self.noise_seed, f"{stage}.noise.{index}"))
        return x

    def _jpeg(self, x: FloatImage, step: Jpeg) -> FloatImage:
        self._finite(x, "JPEG")
        return jpeg.compress(x, step.quality, self.operator.jpeg_backend)

    def _finite(self, x: FloatImage, where: str) -> FloatImage:
        # One number is cheaper to look at than all: NaN and infinity survive a sum.
        if not math.isfinite(float(x.sum())):
            raise SampleError(
                "degrade_non_finite",
                f"at {where}; noise seed {self.noise_seed}, operator {self.operator.to_json()}",
            )
        return x
