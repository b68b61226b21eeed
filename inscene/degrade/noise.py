"""Gaussian and Poisson noise of Real-ESRGAN (BasicSR 8d56e3a), each sample with its own field."""

from __future__ import annotations

import numpy as np

from inscene.degrade.arrays import FloatImage
from inscene.degrade.values import GaussianNoise, PoissonNoise
from inscene.seeds import derive_key

RNG_NAME = f"numpy {np.__version__} SFC64"
"""NumPy may change a distribution's stream from one release to the next, so its version counts."""

LUMA = (0.2989, 0.587, 0.114)  # torchvision's weights; they sum to 0.9999


def generator(noise_seed: int, name: str) -> np.random.Generator:
    """The stream of one noise operation of one image."""
    key = derive_key("noise", noise_seed, name)
    return np.random.Generator(np.random.SFC64(int.from_bytes(key, "little")))


def add_noise(
    image: FloatImage, noise: GaussianNoise | PoissonNoise, rng: np.random.Generator
) -> FloatImage:
    """Add one field of noise and clip to 0..1."""
    if isinstance(noise, GaussianNoise):
        field = _gaussian(image.shape, noise, rng)
    else:
        field = _poisson(image, noise, rng)
    noisy = image + field  # a gray field has one channel
    return np.clip(noisy, 0, 1, out=noisy)


def _gaussian(shape: tuple[int, ...], noise: GaussianNoise, rng: np.random.Generator) -> FloatImage:
    height, width, channels = shape
    field = rng.standard_normal((height, width, 1 if noise.gray else channels), dtype=np.float32)
    field *= np.float32(noise.sigma / 255)
    return field


def _poisson(image: FloatImage, noise: PoissonNoise, rng: np.random.Generator) -> FloatImage:
    """Shot noise of the image as seen in 8 bits: the field's variance is scale²·y/levels.

    The original takes ``levels`` from the number of distinct values in the image, which makes one
    operator mean two things for two images; in photographs it comes out as 256.
    """
    clean = _luma(image) if noise.gray else image
    mean = np.rint(np.clip(clean, 0, 1) * 255) * np.float64(noise.levels / 255)
    field = (rng.poisson(mean) - mean) * (noise.scale / noise.levels)
    return np.asarray(field, np.float32)


def _luma(image: FloatImage) -> FloatImage:
    # Spelt out, not a matrix product: BLAS may sum in another order with another thread count.
    red, green, blue = (image[..., c : c + 1] * np.float32(LUMA[c]) for c in range(3))
    luma: FloatImage = red + green + blue
    return luma
