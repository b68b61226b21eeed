"""Noise by its moments, within four standard errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from planes import pixels, planes

from inscene.degrade.noise import LUMA, add_noise, noise_key
from inscene.degrade.values import GaussianNoise, PoissonNoise

SHAPE = (500, 500, 3)
COUNT = 500 * 500 * 3


def noisy(image: Any, noise: GaussianNoise | PoissonNoise, seed: int, name: str = "test") -> Any:
    made = planes(image)
    add_noise(made, noise, noise_key(seed, name))
    return pixels(made)


def test_gaussian_moments() -> None:
    image = np.full(SHAPE, 0.5, np.float32)
    noise = GaussianNoise(sigma=10.0, gray=False)
    field = (noisy(image, noise, 1, "moments") - image).astype(float) * 255
    assert abs(field.mean()) < 4 * 10 / math.sqrt(COUNT)
    assert abs(field.std() - 10) < 4 * 10 / math.sqrt(2 * COUNT)
    standard = (field - field.mean()) / field.std()
    assert abs((standard**3).mean()) < 4 * math.sqrt(6 / COUNT)
    assert abs((standard**4).mean() - 3) < 4 * math.sqrt(24 / COUNT)
    channels = np.corrcoef(field.reshape(-1, 3).T)
    assert np.abs(channels - np.eye(3)).max() < 4 / math.sqrt(COUNT / 3)


@pytest.mark.parametrize("levels", [64, 128, 256])
@pytest.mark.parametrize("value", [40, 128, 200])
def test_poisson_moments(value: int, levels: int) -> None:
    y, scale = value / 255, 0.5
    image = np.full(SHAPE, y, np.float32)
    noise = PoissonNoise(scale=scale, levels=levels, gray=False)
    field = (noisy(image, noise, levels, "moments") - image).astype(float)
    variance = scale**2 * y / levels
    kurtosis_excess = 1 / (levels * y)
    assert abs(field.mean()) < 4 * math.sqrt(variance / COUNT)
    assert abs(field.var() - variance) < 4 * variance * math.sqrt((2 + kurtosis_excess) / COUNT)


def test_poisson_at_mid_gray_is_as_strong_as_published() -> None:
    """11.3 · scale in 1/255 at 256 levels."""
    image = np.full(SHAPE, 0.5, np.float32)
    noise = PoissonNoise(scale=1.0, gray=False)
    field = noisy(image, noise, 0, "gray") - image
    assert field.std() * 255 == pytest.approx(11.3, abs=0.05)


def test_poisson_leaves_black_alone_and_sees_eight_bits() -> None:
    noise = PoissonNoise(scale=3.0, gray=False)
    black = np.full((20, 20, 3), 0.4 / 255, np.float32)  # rounds to 0
    np.testing.assert_array_equal(noisy(black, noise, 0, "black"), black)
    above, at = np.full((9, 9, 3), 1.3, np.float32), np.ones((9, 9, 3), np.float32)
    faint = PoissonNoise(scale=0.01, gray=False)
    # The mean is clipped to white, but the noise is added to what was not.
    np.testing.assert_array_equal(noisy(above, faint, 0, "white"), at)


@pytest.mark.parametrize(
    "noise", [GaussianNoise(sigma=8.0, gray=True), PoissonNoise(scale=0.5, gray=True)]
)
def test_gray_noise_is_equal_in_the_channels(noise: GaussianNoise | PoissonNoise) -> None:
    image = np.empty(SHAPE, np.float32)
    image[...] = (0.3, 0.5, 0.6)
    field = noisy(image, noise, 0, "gray") - image
    assert np.ptp(field, axis=2).max() < 1e-6
    std = 8 / 255
    if isinstance(noise, PoissonNoise):
        luma = round(255 * sum(w * v for w, v in zip(LUMA, (0.3, 0.5, 0.6), strict=True))) / 255
        std = noise.scale * math.sqrt(luma / noise.levels)
    assert field[..., 0].std() == pytest.approx(std, rel=4 / math.sqrt(2 * COUNT / 3))


def test_noise_is_clipped() -> None:
    image = np.random.default_rng(0).random((64, 64, 3), np.float32)
    made = noisy(image, GaussianNoise(sigma=100.0, gray=False), 0, "clip")
    assert made.min() == 0
    assert made.max() == 1


def test_streams_belong_to_a_seed_and_a_name() -> None:
    assert noise_key(3, "first.noise.0") == noise_key(3, "first.noise.0")
    assert len({noise_key(3, "a"), noise_key(3, "b"), noise_key(4, "a")}) == 3


@pytest.mark.parametrize(
    "noise", [GaussianNoise(sigma=9.0, gray=False), PoissonNoise(scale=1.0, gray=False)]
)
def test_a_field_has_no_structure(noise: GaussianNoise | PoissonNoise) -> None:
    """Neighbours, rows, and places that are one chunk of the generator apart are unrelated."""
    field = noisy(np.full(SHAPE, 0.5), noise, 8)[..., 0].ravel().astype(float) - 0.5
    field /= field.std()
    for lag in (1, 2, 500, 512, 1024, 2048, 4096):
        correlation = float((field[lag:] * field[:-lag]).mean())
        assert abs(correlation) < 4 / math.sqrt(len(field) - lag), lag


def test_levels_can_come_from_the_image() -> None:
    ramp = np.repeat(np.arange(64, dtype=np.float32)[None, :, None] * 4 / 255, 60, axis=0)
    image = np.repeat(ramp, 3, axis=2)  # 64 distinct values
    auto, fixed, other = (
        noisy(image, PoissonNoise(scale=1.0, levels=levels, gray=False), 3)
        for levels in ("auto", 64, 256)
    )
    np.testing.assert_array_equal(auto, fixed)
    assert (auto != other).any()
    image[0, 0] = 255 / 255  # the 65th
    more = noisy(image, PoissonNoise(scale=1.0, levels="auto", gray=True), 3)
    assert (more == noisy(image, PoissonNoise(scale=1.0, levels=128, gray=True), 3)).all()
