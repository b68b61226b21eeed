"""PSNR and SSIM are those of pyiqa 0.1.16, to 1e-4."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_photos import synthetic_photo

from inscene.errors import SampleError, UsageError
from inscene.quality.registry import WITHOUT_WEIGHTS, find_metric

# pyiqa 0.1.16 asks setuptools' pkg_resources and others that warn; its warnings are not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

REFERENCES = {
    "psnr": ("PSNR", {"test_y_channel": True, "color_space": "ycbcr"}),
    "psnr_rgb": ("PSNR", {"test_y_channel": False}),
    "ssim": ("SSIM", {"test_y_channel": True, "color_space": "ycbcr", "downsample": False}),
}


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    photo = np.asarray(synthetic_photo(1, 200, 150))
    noisy = np.clip(photo + rng.normal(0, 20, photo.shape), 0, 255).astype(np.uint8)
    small = rng.integers(0, 256, (11, 13, 3), dtype=np.uint8)
    return {
        "noise": (noisy, photo),
        "one level": (np.where(photo < 255, photo + 1, photo).astype(np.uint8), photo),
        "equal": (photo, photo),
        "negative": (255 - photo, photo),  # structure terms below zero
        "black and white": (np.zeros_like(photo), np.full_like(photo, 255)),
        "smallest": (small, small[::-1].copy()),
    }


@pytest.fixture(scope="module")
def reference():
    pytest.importorskip("pyiqa", reason="pyiqa is the reference here (extra: bench)")
    import torch
    from pyiqa.archs.psnr_arch import PSNR
    from pyiqa.archs.ssim_arch import SSIM

    def tensor(image: np.ndarray):
        return torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255.0)

    def measure(key: str, image: np.ndarray, clean: np.ndarray) -> float:
        kind, options = REFERENCES[key]
        metric = {"PSNR": PSNR, "SSIM": SSIM}[kind](**options)
        return float(metric(tensor(image), tensor(clean)))

    return measure


@pytest.mark.parametrize("key", WITHOUT_WEIGHTS)
@pytest.mark.parametrize("name", pairs())
def test_agrees_with_pyiqa(key: str, name: str, reference) -> None:
    image, clean = pairs()[name]
    (ours,) = find_metric(key).load()([image], [clean])
    assert ours == pytest.approx(reference(key, image, clean), abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(11, 40), st.integers(11, 40), st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_agrees_on_any_size(reference, width: int, height: int, seed: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = np.clip(clean + rng.normal(0, spread, clean.shape), 0, 255).astype(np.uint8)
    for key in WITHOUT_WEIGHTS:
        (ours,) = find_metric(key).load()([image], [clean])
        assert ours == pytest.approx(reference(key, image, clean), abs=1e-4)


def test_limited_range_luma_is_1_32_db_above_full_range() -> None:
    """Two conventions that papers mix: BT.601 limited range, and the luma of YIQ."""
    image, clean = pairs()["noise"]
    yiq = np.array([0.299, 0.587, 0.114])
    error = np.mean(np.square((image.astype(float) - clean) @ yiq / 255))
    (ours,) = find_metric("psnr").load()([image], [clean])
    assert ours - 10 * np.log10(1 / error) == pytest.approx(20 * np.log10(255 / 219), abs=0.02)


@pytest.mark.parametrize("key", WITHOUT_WEIGHTS)
def test_wrong_inputs_are_refused(key: str) -> None:
    measure = find_metric(key).load()
    image = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(SampleError, match="got 20x30, the reference is 30x20"):
        measure([image.transpose(1, 0, 2)], [image])
    with pytest.raises(SampleError, match="not_8_bit_rgb"):
        measure([image.astype(np.float32)], [image])
    with pytest.raises(SampleError, match="not_8_bit_rgb"):
        measure([image[..., 0]], [image])


def test_too_small_for_the_window() -> None:
    image = np.zeros((10, 30, 3), np.uint8)
    with pytest.raises(SampleError, match="image_too_small"):
        find_metric("ssim").load()([image], [image])


def test_unknown_metric() -> None:
    with pytest.raises(UsageError, match="Did you mean 'psnr'"):
        find_metric("psrn")
