"""FID: its features and its distance are those of pyiqa 0.1.16, in its mode ``clean``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from PIL import Image
from synthetic_photos import synthetic_photo

from inscene.errors import SampleError
from inscene.quality.fid_distance import (
    SVD_MAX,
    Moments,
    frechet_from_features,
    frechet_from_moments,
)


def features(count: int, dims: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Correlated and never negative, as pooled activations are."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(64, dims)) / 8
    mixed = rng.normal(size=(count, 64)) @ mixing + 0.3 * rng.normal(size=(count, dims))
    return np.maximum(mixed + shift, 0).astype(np.float32)


def by_sqrtm(a: np.ndarray, b: np.ndarray) -> float:
    """The definition."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    distance = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b - 2 * root.real)
    return float(distance)


# 256 of the 2,048 features: the definition's matrix root is slow.
@pytest.mark.parametrize("counts", [(300, 300), (300, 200), (40, 300)])
def test_is_the_definition(counts: tuple[int, int]) -> None:
    a, b = features(counts[0], 256, 1), features(counts[1], 256, 2, shift=0.05)
    expected = by_sqrtm(a, b)
    assert expected > 0.1
    assert frechet_from_features(a, b) == pytest.approx(expected, abs=1e-3)
    assert frechet_from_moments(Moments.of(a), Moments.of(b)) == pytest.approx(expected, abs=1e-3)
    assert frechet_from_features(b, a) == pytest.approx(frechet_from_features(a, b), rel=1e-9)


@pytest.mark.parametrize("parts", [1, 2, 4, 7])
def test_merged_parts(parts: int) -> None:
    a, b = features(301, 256, 3), features(300, 256, 4, shift=0.05)
    merged = Moments.empty(256)
    for part in np.array_split(a, parts):
        merged = merged.merge(Moments.of(part))
    added = Moments.empty(256)
    for part in np.array_split(a, parts):
        added = added.add(part)
    whole = Moments.of(a)
    assert merged.n == whole.n == 301
    assert np.allclose(merged.mean, whole.mean, rtol=0, atol=1e-12)
    assert np.allclose(merged.covariance, np.cov(a.astype(float), rowvar=False), atol=1e-12)
    assert np.array_equal(merged.m2, added.m2)  # the same order, the same bits
    expected = frechet_from_features(a, b)
    assert frechet_from_moments(merged, Moments.of(b)) == pytest.approx(expected, abs=1e-3)


def test_of_equal_sets() -> None:
    a = features(300, 256, 5)
    assert abs(frechet_from_features(a, a)) < 1e-9
    assert abs(frechet_from_moments(Moments.of(a), Moments.of(a))) < 1e-3


def test_many_images_go_by_the_moments() -> None:
    a, b = features(SVD_MAX + 1, 64, 6), features(50, 64, 7)
    by_moments = frechet_from_moments(Moments.of(a), Moments.of(b))
    assert frechet_from_features(a, b) == by_moments
    assert by_moments == pytest.approx(by_sqrtm(a, b), abs=1e-3)


def test_needs_two_images() -> None:
    a = features(3, 16, 8)
    for one, other in [(a[:1], a), (a, a[:1]), (a[:0], a)]:
        with pytest.raises(ValueError, match=r"at least two images in each set, got [01]"):
            frechet_from_features(one, other)
        with pytest.raises(ValueError, match=r"at least two images in each set, got [01]"):
            frechet_from_moments(Moments.of(one), Moments.of(other))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two of three images each, some of them larger than what the network sees."""
    made = []
    for seed in range(2):
        made.append(tmp_path_factory.mktemp(f"set-{seed}"))
        for index, size in enumerate([(200, 150), (400, 380), (299, 299)]):
            photo = np.asarray(synthetic_photo(10 * seed + index, *size))
            noise = np.random.default_rng(seed).normal(0, 30 * seed, photo.shape)
            noisy = np.clip(photo + noise, 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(made[-1] / f"{index}.png")
    return made


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Matrix is singular:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:The parameter 'pretrained' is deprecated:UserWarning")
@pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning")
def test_agrees_with_pyiqa(load, pyiqa_metric, folders: list[Path]) -> None:
    from pyiqa.archs.fid_arch import get_folder_features

    reference = pyiqa_metric("fid")
    theirs, ours = [], []
    for folder in folders:
        options = {"num_workers": 0, "batch_size": 2, "device": "cpu", "verbose": False}
        theirs.append(get_folder_features(str(folder), reference.net.model, **options))
        files = sorted(folder.iterdir())
        ours.append(np.stack(load("fid")([np.asarray(Image.open(file)) for file in files])))
        assert ours[-1].shape == (3, 2048)
        assert ours[-1].dtype == np.float32
        assert ours[-1].std(axis=0).max() > 0.01
        assert np.abs(ours[-1] - theirs[-1]).max() <= 1e-5 * np.abs(theirs[-1]).max()
    distance = reference(*map(str, folders), num_workers=0, verbose=False)
    assert distance > 0.1
    assert frechet_from_features(*ours) == pytest.approx(distance, abs=1e-3)


def test_wrong_images(load) -> None:
    with pytest.raises(SampleError, match="not_8_bit_rgb"):
        load("fid")([np.zeros((20, 20), np.uint8)])
