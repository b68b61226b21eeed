"""Windows that cover everything, always end, and blend to what they agree about."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inscene.face2scene.families import FAMILIES
from inscene.face2scene.tiles import denoise_tiled, positions, weights

VARIANCE = 0.01


def latents(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(0))


def pointwise(window: Tensor) -> Tensor:
    return window.tanh() * 2 + 0.1


@settings(deadline=None, derandomize=True, max_examples=300)
@given(length=st.integers(1, 600), tile=st.integers(1, 128), overlap=st.integers(0, 700))
def test_windows_cover_an_axis_and_overlap(length: int, tile: int, overlap: int) -> None:
    starts = positions(length, tile, overlap)
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert starts[-1] == max(0, length - tile)
    for first, second in itertools.pairwise(starts):
        assert first + tile - second >= min(overlap, tile // 2)


def test_the_overlap_is_no_wider_than_asked_but_at_the_end() -> None:
    assert positions(128, 96, 32) == [0, 32]
    assert positions(300, 96, 32) == [0, 64, 128, 192, 204]
    assert positions(300, 96, 95) == [0, 48, 96, 144, 192, 204]
    # On the UNet's grid of 8, as long as sides and tiles are.
    assert all(start % 8 == 0 for start in positions(512, 96, 32))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    variance=st.sampled_from([1e-6, VARIANCE, 1.0]),
)
def test_weights_are_symmetric_and_positive(height: int, width: int, variance: float) -> None:
    weight = weights(height, width, variance)
    assert weight.shape == (height, width)
    assert weight.dtype == torch.float32
    assert weight.min() > 0
    assert weight.max() <= 1
    assert torch.equal(weight, weight.flip(0))
    assert torch.equal(weight, weight.flip(1))
    assert torch.equal(weight, weights(width, height, variance).T)


def test_weights_are_gaussian_over_the_side() -> None:
    weight = weights(96, 64, VARIANCE)
    row = math.exp(-(((95 - 47.5) / 96) ** 2) / 0.02)  # an edge of the first axis
    column = math.exp(-(((10 - 31.5) / 64) ** 2) / 0.02)
    assert weight[95, 10].item() == pytest.approx(row * column, rel=1e-4)
    assert weight.half().min() == 0  # why they are float32


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    tile=st.integers(2, 24),
    overlap=st.integers(0, 80),
    variance=st.sampled_from([1e-5, VARIANCE, 1.0]),
)
def test_a_pointwise_prediction_is_that_of_the_whole(
    height: int, width: int, tile: int, overlap: int, variance: float
) -> None:
    whole = latents(height, width, batch=2)
    result = denoise_tiled(pointwise, whole, tile, overlap, variance)
    torch.testing.assert_close(result, pointwise(whole), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_constant_latents_stay_constant(dtype: torch.dtype) -> None:
    constant = torch.full((1, 4, 40, 72), 0.3, dtype=dtype)
    result = denoise_tiled(lambda window: window * 2, constant, 16, 6, VARIANCE)
    assert result.dtype == dtype
    torch.testing.assert_close(result, constant * 2, atol=2e-7, rtol=0)


@pytest.mark.parametrize("overlap", [0, 32, 40, 95, 1000])
@pytest.mark.parametrize("turned", [False, True])
def test_thin_latents_end(overlap: int, turned: bool) -> None:
    """32 × 512 with an overlap of 32 and more never ended in S3Diff."""
    thin = latents(512, 32) if turned else latents(32, 512)
    shapes = []

    def predict(window: Tensor) -> Tensor:
        shapes.append(tuple(window.shape))
        return pointwise(window)

    result = denoise_tiled(predict, thin, 96, overlap, VARIANCE)
    torch.testing.assert_close(result, pointwise(thin))
    assert set(shapes) == {(1, 4, 96, 32) if turned else (1, 4, 32, 96)}
    assert len(shapes) == len(positions(512, 96, overlap)) <= 10


def test_area_decides_about_tiles() -> None:
    seen = []

    def predict(window: Tensor) -> Tensor:
        seen.append(window)
        return window

    small = latents(8, 32)
    assert denoise_tiled(predict, small, 16, 4, VARIANCE) is small  # 256 = 16²
    assert len(seen) == 1
    denoise_tiled(predict, latents(8, 33), 16, 4, VARIANCE)
    assert len(seen) == 1 + 3


def test_the_windows_of_a_unet_are_blended_by_their_weights() -> None:
    """A real UNet, against a loop in float64 that has formulas of its own."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**FAMILIES["tiny"].unet).eval()
    context = torch.randn(2, 5, 32)
    step = torch.tensor(249)

    @torch.no_grad()
    def predict(window: Tensor) -> Tensor:
        prediction: Tensor = unet(window, step, context, return_dict=False)[0]
        return prediction

    height, width, tile = 24, 40, 16
    whole = latents(height, width, batch=2)
    total, norm = np.zeros(whole.shape), np.zeros((height, width))
    for top, left in itertools.product([0, 8], [0, 8, 16, 24]):
        prediction = predict(whole[..., top : top + tile, left : left + tile]).numpy()
        for row, column in np.ndindex(tile, tile):
            distance = (row - 7.5) ** 2 + (column - 7.5) ** 2
            weight = math.exp(-distance / tile**2 / (2 * VARIANCE))
            total[..., top + row, left + column] += weight * prediction[..., row, column]
            norm[top + row, left + column] += weight
    result = denoise_tiled(predict, whole, tile, 8, VARIANCE)
    np.testing.assert_allclose(result, total / norm, atol=1e-5)
    # Windows do not agree: a UNet sees its window. What is blended is no copy of the whole.
    assert (result - predict(whole)).abs().max() > 1e-3
