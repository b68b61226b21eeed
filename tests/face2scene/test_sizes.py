"""Padding against NumPy, resizing against OpenCV and Pillow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from inscene.face2scene.sizes import crop, pad, resized

sides = st.integers(1, 80)


def images(height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return (torch.rand(1, 3, height, width, generator=generator) * 2 - 1).to(dtype)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(height=sides, width=sides, multiple=st.sampled_from([1, 8, 64]))
def test_padding_is_a_reflection_where_there_is_enough_to_reflect(
    height: int, width: int, multiple: int
) -> None:
    original = images(height, width)
    padded, size = pad(original, multiple)
    assert size == (height, width)
    expected = original.numpy()
    for axis, side in ((2, height), (3, width)):
        added = -side % multiple
        widths = [(0, 0)] * 4
        widths[axis] = (0, added)
        expected = np.pad(expected, widths, mode="reflect" if added < side else "edge")
    np.testing.assert_array_equal(padded.numpy(), expected)
    assert padded.shape[2] % multiple == padded.shape[3] % multiple == 0
    assert torch.equal(crop(padded, size), original)


def test_what_fits_is_not_copied() -> None:
    original = images(64, 128)
    assert pad(original, 64)[0] is original
    assert resized(original, (64, 128)) is original


@settings(deadline=None, derandomize=True, max_examples=30)
@given(height=sides, width=sides, rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_enlarging_is_opencvs(height: int, width: int, rows: int, columns: int) -> None:
    original = images(height, width)
    size = (height * rows, width * columns)
    expected = cv2.resize(original[0, 0].numpy(), size[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resized(original, size)[0, 0], expected, atol=1e-4)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_shrinking_is_pillows(mode: str) -> None:
    original = images(61, 47)
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    expected = Image.fromarray(original[0, 0].numpy()).resize((13, 20), filters[mode])
    result = resized(original, (20, 13), mode)  # type: ignore[arg-type]
    np.testing.assert_allclose(result[0, 0], np.asarray(expected), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_shrinks_and_pads_on_a_cpu(dtype: torch.dtype) -> None:
    original = images(30, 20, dtype)
    smaller = resized(original, (10, 7))
    assert smaller.dtype == dtype
    torch.testing.assert_close(smaller, resized(original.float(), (10, 7)).to(dtype))
    assert pad(original, 8)[0].shape == (1, 3, 32, 24)
