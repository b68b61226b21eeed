"""Gaussian and Poisson noise of Real-ESRGAN (BasicSR 8d56e3a), each sample with its own field."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inscene.degrade.arrays import FloatImage
from inscene.degrade.values import GaussianNoise, PoissonNoise
from inscene.seeds import derive_key

RNG_NAME = f"numpy {np.__version__} SFC64"
"""NumPy may change a distribution's stream from one release to the next, so its version counts."""

LUMA = np.array([0.2989, 0.587, 0.114], np.float32)  # torchvision's weights; they sum to 0.9999


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
    field += image  # broadcasts over the channels if gray
    return np.clip(field, 0, 1, out=field)


def _gaussian(
    shape: tuple[int, ...], noise: GaussianNoise, rng: np.random.Generator
) -> FloatImage:
    height, width, channels = shape
    field = rng.standard_normal((height, width, 1 if noise.gray else channels), dtype=np.float32)
    field *= np.float32(noise.sigma / 255)
    return field


def _poisson(image: FloatImage, noise: PoissonNoise, rng: np.random.Generator) -> FloatImage:
    """Shot noise of the image as seen in 8 bits: the field's variance is scale²·y/levels.

    The original takes ``levels`` from the number of distinct values in the image, which makes one
    operator mean two things for two images; in photographs it comes out as 256.
    """
    clean = (image @ LUMA)[..., None] if noise.gray else image
    clean = np.rint(np.clip(clean, 0, 1) * 255) / np.float32(255)
    mean = clean * np.float64(noise.levels)
    field = (rng.poisson(mean) - mean) * (noise.scale / noise.levels)
    return field.astype(np.float32)


Field = npt.NDArray[np.float32]
