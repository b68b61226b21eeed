"""The degradation chain as one would glue it together from NumPy, OpenCV and libjpeg.

It takes the engine's operators and is what the engine's speed is compared with. It is not the
engine's chain to the pixel: OpenCV's area filter, the resize that maps the input's extent onto the
output's whatever the registration, libjpeg at a whole-number quality between 8-bit images.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from inscene.degrade import Operator
from inscene.degrade.kernels import kernel as drawn_kernel
from inscene.degrade.values import EllipseBlur, GaussianNoise, PoissonNoise, SincBlur

ByteImage = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

INTERPOLATION = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}

STEPS = {
    "kernel": ["kernel"],
    "blur": ["blur"],
    "resize": ["resize"],
    "gaussian": ["gaussian"],
    "poisson": ["poisson"],
    "jpeg": ["jpeg"],
}
"""This module's functions by the step that they are."""


def degrade(image: ByteImage, operator: Operator, noise_seed: int) -> ByteImage:
    """The LQ of an RGB image, uint8 height × width × 3; no sharpening before."""
    if operator.usm:
        raise ValueError("the plain chain does not sharpen: draw operators with usm off")
    height, width = image.shape[:2]
    rng = np.random.default_rng(noise_seed)
    first, second, final = operator.first, operator.second, operator.final

    x = as_float(image)
    if first.blur is not None:
        x = blur(x, kernel(first.blur))
    scale = first.resize.scale
    x = resize(x, (math.floor(height * scale), math.floor(width * scale)), first.resize.filter)
    for noise in first.noise:
        x = add_noise(x, noise, rng)
    x = jpeg(x, first.jpeg.quality)

    lq_height, lq_width = height / operator.sf, width / operator.sf
    if second is not None:
        if second.blur is not None:
            x = blur(x, kernel(second.blur))
        scale = second.resize.scale
        x = resize(x, (int(lq_height * scale), int(lq_width * scale)), second.resize.filter)
        for noise in second.noise:
            x = add_noise(x, noise, rng)
        if final.order == "jpeg_resize_sinc":
            x = jpeg(x, second.jpeg.quality)
    x = resize(x, (int(lq_height), int(lq_width)), final.filter)
    if final.sinc is not None:
        x = blur(x, kernel(final.sinc))
    if second is not None and final.order == "resize_sinc_jpeg":
        x = jpeg(x, second.jpeg.quality)
    return as_bytes(x)


def as_float(image: ByteImage) -> FloatImage:
    return np.asarray(image.astype(np.float32) / np.float32(255), np.float32)


def as_bytes(x: FloatImage) -> ByteImage:
    return np.asarray((np.clip(x, 0, 1) * 255).round(), np.uint8)


def kernel(blur: object) -> FloatImage:
    if not isinstance(blur, EllipseBlur | SincBlur):
        raise ValueError("this chain has one kernel for the whole image")
    return np.asarray(drawn_kernel(blur), np.float32)


def blur(x: FloatImage, weights: FloatImage) -> FloatImage:
    blurred: FloatImage = cv2.filter2D(x, -1, weights, borderType=cv2.BORDER_REFLECT_101)
    return blurred


def resize(x: FloatImage, size: tuple[int, int], filter: str) -> FloatImage:
    """``size`` is (height, width), px."""
    height, width = (max(1, side) for side in size)
    resized: FloatImage = cv2.resize(x, (width, height), interpolation=INTERPOLATION[filter])
    return resized


def add_noise(
    x: FloatImage, noise: GaussianNoise | PoissonNoise, rng: np.random.Generator
) -> FloatImage:
    field = gaussian(x, noise, rng) if isinstance(noise, GaussianNoise) else poisson(x, noise, rng)
    noisy: FloatImage = np.clip(x + field, 0, 1)
    return noisy


def gaussian(x: FloatImage, noise: GaussianNoise, rng: np.random.Generator) -> FloatImage:
    shape = (*x.shape[:2], 1) if noise.gray else x.shape
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(noise.sigma / 255)


def poisson(x: FloatImage, noise: PoissonNoise, rng: np.random.Generator) -> FloatImage:
    clean = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None] if noise.gray else x
    clean = (np.clip(clean, 0, 1) * 255).round() / 255
    if not isinstance(noise.levels, int):
        raise ValueError("this chain takes the levels of Poisson noise from the operator")
    field = rng.poisson(clean * noise.levels) / noise.levels - clean
    return np.asarray(field * noise.scale, np.float32)


def jpeg(x: FloatImage, quality: float) -> FloatImage:
    bgr = cv2.cvtColor(as_bytes(x), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded just now
    return as_float(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))
