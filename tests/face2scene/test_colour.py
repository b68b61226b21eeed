"""Colour fix against a plain loop over pixels, at all sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inscene.face2scene.colour import fix, low_frequencies
from inscene.face2scene.config import ColourFix


def images(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, height, width, generator=generator) * 2 - 1


def blurred(image: np.ndarray) -> np.ndarray:
    """H×W after all levels: 3×3 weights 1 2 1 / 2 4 2 / 1 2 1, spread, borders repeated."""
    height, width = image.shape
    for radius in (1, 2, 4, 8, 16):
        result = np.zeros_like(image)
        for row, column in np.ndindex(height, width):
            for down, right in np.ndindex(3, 3):
                weight = (2 - abs(down - 1)) * (2 - abs(right - 1)) / 16
                from_row = np.clip(row + (down - 1) * radius, 0, height - 1)
                from_column = np.clip(column + (right - 1) * radius, 0, width - 1)
                result[row, column] += weight * image[from_row, from_column]
        image = result
    return image


@settings(deadline=None, derandomize=True, max_examples=12)
@given(height=st.integers(1, 12), width=st.integers(1, 12))
def test_small_images_against_a_loop(height: int, width: int) -> None:
    original = images(height, width)
    expected = blurred(original[1, 2].double().numpy())
    np.testing.assert_allclose(low_frequencies(original)[1, 2], expected, atol=1e-6)


def test_wavelet_against_a_loop() -> None:
    restored, reference = images(41, 36), images(41, 36, seed=1)
    image, low = restored[0, 1].double().numpy(), reference[0, 1].double().numpy()
    expected = image - blurred(image) + blurred(low)
    np.testing.assert_allclose(fix(restored, reference, "wavelet")[0, 1], expected, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 200), (97, 31)])
def test_a_shifted_tone_comes_back(size: tuple[int, int]) -> None:
    reference = images(*size)
    tone = torch.tensor([0.2, -0.3, 0.1]).view(1, 3, 1, 1)
    torch.testing.assert_close(fix(reference + tone, reference, "wavelet"), reference)
    assert torch.equal(fix(reference, reference, "wavelet"), reference)


def test_wavelet_keeps_details_and_takes_gradients() -> None:
    ramp = torch.linspace(-0.5, 0.5, 256).expand(1, 3, 256, 256)
    detail = torch.zeros(1, 3, 256, 256)
    detail[..., ::2] = 0.1
    detail[..., 1::2] = -0.1
    fixed = fix(detail, ramp, "wavelet")
    inside = (..., slice(40, -40), slice(40, -40))
    torch.testing.assert_close(fixed[inside], (ramp + detail)[inside], atol=1e-5, rtol=0)


def test_adain_takes_mean_and_deviation() -> None:
    restored, reference = images(40, 30) * 0.4 + 0.3, images(40, 30, seed=1)
    fixed = fix(restored, reference, "adain")
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(
            statistic(fixed, (2, 3)), statistic(reference, (2, 3)), atol=1e-4, rtol=1e-4
        )
    # Nothing but a gain and an offset.
    slope = torch.diff(fixed[0, 0].flatten()) / torch.diff(restored[0, 0].flatten())
    assert slope.max() - slope.min() < 1e-2 * slope.mean()


def test_adain_of_a_constant_is_finite() -> None:
    fixed = fix(torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), -0.25), "adain")
    torch.testing.assert_close(fixed, torch.full((1, 3, 1, 1), -0.25))


def test_none_changes_nothing() -> None:
    restored = images(9, 9)
    assert fix(restored, images(9, 9, seed=1), "none") is restored


def test_nothing_is_clamped() -> None:
    restored, reference = images(64, 64), torch.full((2, 3, 64, 64), 0.9)
    assert fix(restored, reference, "wavelet").max() > 1.2


@pytest.mark.parametrize("kind", ["wavelet", "adain", "none"])
def test_bfloat16_is_calculated_in_float32(kind: ColourFix) -> None:
    restored, reference = images(50, 40).bfloat16(), images(50, 40, seed=1).bfloat16()
    fixed = fix(restored, reference, kind)
    assert fixed.dtype == torch.bfloat16
    assert torch.equal(fixed, fix(restored.float(), reference.float(), kind).bfloat16())


@pytest.mark.parametrize("kind", ["wavelet", "adain", "none"])
def test_sizes_must_agree(kind: ColourFix) -> None:
    with pytest.raises(ValueError, match=r"images are \(2, 3, 8, 8\), reference \(2, 3, 8, 1\)"):
        fix(images(8, 8), images(8, 1), kind)
