"""The classical restorers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_photos import synthetic_photo

from inscene.bench.methods import Sample, find_method
from inscene.quality.psnr import psnr_y
from inscene.quality.ssim import ssim_y

NAMES = ("identity", "bicubic", "bilateral")


def restore(name: str, lq: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return find_method(name).restore(Sample("x", 0, lq, size))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 24), height=st.integers(1, 24), seed=st.integers(0, 2**32 - 1))
def test_any_size(name: str, width: int, height: int, seed: int) -> None:
    lq = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    size = (4 * width + 1, 4 * height + 3)
    out = restore(name, lq, size)
    assert (out.shape, out.dtype) == ((size[1], size[0], 3), np.uint8)
    assert np.array_equal(out, restore(name, lq, size))


@pytest.mark.parametrize("name", NAMES)
def test_a_flat_image_stays_as_it_is(name: str) -> None:
    lq = np.full((20, 20, 3), (10, 120, 250), np.uint8)
    assert (restore(name, lq, (80, 80)) == lq[0, 0]).all()


def test_identity_adds_no_value() -> None:
    lq = np.asarray(synthetic_photo(0, 16, 12))
    assert np.array_equal(restore("identity", lq, (64, 48))[::4, ::4], lq)


def test_bicubic_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    lq = np.asarray(synthetic_photo(0, 16, 12))
    tensor = torch.from_numpy(lq.transpose(2, 0, 1)[None].astype(np.float32))
    wanted = torch.nn.functional.interpolate(tensor, size=(48, 64), mode="bicubic")
    wanted = wanted[0].numpy().transpose(1, 2, 0).clip(0, 255)
    assert np.abs(restore("bicubic", lq, (64, 48)).astype(float) - wanted).max() < 1.0


def test_bilateral_beats_bicubic_on_noisy_photos() -> None:
    from skimage import data

    gains = []
    for clean in (data.astronaut(), data.coffee()[:, :512], data.chelsea()):
        height, width = (side // 4 for side in clean.shape[:2])
        clean = clean[: 4 * height, : 4 * width]
        small = cv2.resize(clean, (width, height), interpolation=cv2.INTER_AREA)
        noise = np.random.default_rng(0).normal(0, 10, small.shape)
        lq = np.clip(small + noise, 0, 255).astype(np.uint8)
        size = (4 * width, 4 * height)
        ours, base = restore("bilateral", lq, size), restore("bicubic", lq, size)
        gains.append(
            (psnr_y(ours, clean) - psnr_y(base, clean), ssim_y(ours, clean) - ssim_y(base, clean))
        )
    assert (np.array(gains) > 0).all()
    assert (np.mean(gains, axis=0) > (0.1, 0.02)).all()
