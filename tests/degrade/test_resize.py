"""Resizing against torch, which defines it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planes import pixels, planes

from inscene.degrade import resize as module
from inscene.degrade.resize import axis_taps
from inscene.degrade.values import Filter

FILTERS: tuple[Filter, ...] = ("area", "bilinear", "bicubic")
TOLERANCE = 5e-5
sides = st.integers(1, 90)


def image_of(height: int, width: int) -> Any:
    return np.random.default_rng(height * 1000 + width).random((height, width, 3), np.float32)


def resize(image: Any, *arguments: Any, **options: Any) -> Any:
    return pixels(module.resize(planes(image), *arguments, **options))


def by_torch(image: Any, filter: Filter, **target: Any) -> Any:
    torch = pytest.importorskip("torch")
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    resized = torch.nn.functional.interpolate(planes, mode=filter, **target)
    return resized[0].numpy().transpose(1, 2, 0)


@pytest.mark.parametrize("filter", FILTERS)
@settings(deadline=None, derandomize=True, max_examples=60)
@given(size=st.tuples(sides, sides), target=st.tuples(sides, sides))
def test_exact_registration_is_torch_with_sizes(
    filter: Filter, size: tuple[int, int], target: tuple[int, int]
) -> None:
    image = image_of(*size)
    expected = by_torch(image, filter, size=target)
    np.testing.assert_allclose(resize(image, target, filter), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("filter", FILTERS)
@settings(deadline=None, derandomize=True, max_examples=60)
@given(height=sides, width=sides, scale=st.floats(0.15, 1.5))
def test_legacy_registration_is_torch_with_a_scale(
    filter: Filter, height: int, width: int, scale: float
) -> None:
    target = (math.floor(height * scale), math.floor(width * scale))
    if 0 in target:
        return  # torch refuses
    image = image_of(height, width)
    expected = by_torch(image, filter, scale_factor=scale)
    resized = resize(image, target, filter, legacy_scale=scale)
    np.testing.assert_allclose(resized, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("filter", FILTERS)
def test_legacy_keeps_an_axis_that_stays_as_long_only_where_torch_does(filter: Filter) -> None:
    image = image_of(50, 200)  # 50 stays 50, 200 becomes 202
    resized = resize(image, (50, 202), filter, legacy_scale=1.01)
    expected = by_torch(image, filter, scale_factor=1.01)
    np.testing.assert_allclose(resized, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("filter", FILTERS)
@settings(deadline=None, derandomize=True)
@given(n_in=st.integers(1, 300), n_out=st.integers(1, 300))
def test_taps_sum_to_one_and_exact_ones_keep_the_centre(
    filter: Filter, n_in: int, n_out: int
) -> None:
    taps = axis_taps(n_in, n_out, filter)
    assert taps.start.min() >= 0
    assert taps.start.max() + taps.weights.shape[1] <= n_in
    matrix = np.zeros((n_out, n_in), np.float32)
    for t in range(taps.weights.shape[1]):
        matrix[np.arange(n_out), taps.start + t] += taps.weights[:, t]
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-5)  # no drift to either end


def test_legacy_drifts_where_exact_does_not() -> None:
    ramp = np.tile(np.arange(100, dtype=np.float32)[:, None, None], (1, 4, 3))
    size = (33, 1)  # floor(100 · 0.339)
    exact = resize(ramp, size, "bilinear")[-1, 0, 0]
    legacy = resize(ramp, size, "bilinear", legacy_scale=0.339)[-1, 0, 0]
    assert exact == pytest.approx(100 / 33 * 32.5 - 0.5, abs=1e-3)
    assert legacy == pytest.approx(32.5 / 0.339 - 0.5, abs=1e-3)


def test_an_equal_size_changes_nothing() -> None:
    image = image_of(31, 17)
    for filter in FILTERS:
        np.testing.assert_array_equal(resize(image, (31, 17), filter), image)
