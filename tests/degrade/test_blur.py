"""Blurring: passes against the kernel that they stand for, and borders of any shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.degrade import Operator, load_profile
from inscene.degrade.blur import blur
from inscene.degrade.kernels import kernel
from inscene.degrade.passes import KERNEL_ERROR, decompose
from inscene.degrade.values import EllipseBlur, SincBlur
from inscene.seeds import Draws

sizes = st.integers(0, 10).map(lambda half: 2 * half + 1)


def correlated(image: Any, weights: Any) -> Any:
    """NumPy's ``reflect`` is the definition of the border."""
    height, width = image.shape[1:]
    half = len(weights) // 2
    padded = np.pad(image, ((0, 0), (half, half), (half, half)), mode="reflect").astype(float)
    return sum(
        weights[dy, dx] * padded[:, dy : dy + height, dx : dx + width]
        for dy in range(len(weights))
        for dx in range(len(weights))
    )


def image_of(height: int, width: int) -> Any:
    return np.random.default_rng(height + 41 * width).random((3, height, width), np.float32)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(height=st.integers(1, 40), width=st.integers(1, 40), size=sizes, rank=st.integers(1, 9))
def test_any_size_and_kernel(height: int, width: int, size: int, rank: int) -> None:
    rng = np.random.default_rng(size * 10 + rank)
    weights = rng.random((size, rank)) @ rng.random((rank, size))
    weights /= weights.sum()
    image = image_of(height, width)
    blurred = blur(image, decompose(weights))
    assert blurred.dtype == np.float32
    np.testing.assert_allclose(blurred, correlated(image, weights), atol=1.1 * KERNEL_ERROR)


def test_a_kernel_of_full_rank_is_applied_as_it_is() -> None:
    rng = np.random.default_rng(0)
    weights = rng.random((9, 9)) ** 4
    weights /= weights.sum()
    passes = decompose(weights)
    assert not passes.separable
    image = image_of(31, 43)
    np.testing.assert_allclose(blur(image, passes), correlated(image, weights), atol=1e-6)


def applied(weights: Any) -> Any:
    """The kernel that the passes add up to, in the middle of the given size."""
    passes = decompose(weights)
    rows = passes.rows[:, : passes.width].astype(float)
    made = passes.columns.T.astype(float) @ rows
    margin = (len(weights) - len(made)) // 2
    return np.pad(made, margin)


@pytest.mark.parametrize("profile", ["s3diff", "realesrgan", "faceme"])
def test_what_is_applied_is_near_what_was_drawn(profile: str) -> None:
    ranges = load_profile(profile)
    multiplications, least = 0, 0
    for index in range(150):
        drawn = Operator.draw(ranges, Draws("passes", index)).first.blur
        assert isinstance(drawn, EllipseBlur | SincBlur)
        weights = kernel(drawn)
        made = applied(weights)
        assert np.abs(made - weights).sum() <= 1.02 * KERNEL_ERROR
        assert made.sum() == pytest.approx(1, abs=2e-7)
        passes = decompose(weights)
        multiplications += weights.size
        least += passes.columns.size + passes.rows.size if passes.separable else passes.rows.size
    assert least < 0.5 * multiplications


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    index=st.integers(0, 10**6),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    value=st.floats(0, 1, width=32),
)
def test_flat_areas_stay(index: int, height: int, width: int, value: float) -> None:
    drawn = Operator.draw(load_profile("realesrgan"), Draws("flat", index)).first.blur
    assert isinstance(drawn, EllipseBlur | SincBlur)
    flat = np.full((3, height, width), value, np.float32)
    np.testing.assert_allclose(blur(flat, decompose(kernel(drawn))), flat, rtol=0, atol=1e-6)
