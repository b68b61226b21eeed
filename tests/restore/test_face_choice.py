"""Which face leads. The models are small ones in the official layout: the detector finds white
squares, the recogniser is random, but the same crop gives the same embedding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from loopback.pulled import pulled
from synthetic_photos import synthetic_photo
from tiny_weights.insightface_packs import paint_face

from inscene.faces.detectors.choice import DetectorChoice
from inscene.restore.face_choice import RETRY_SIZES_PX, FaceChoice
from inscene.weights.locate import MissingWeightError

for _package in ("insightface", "onnxruntime", "onnx", "facenet_pytorch"):
    pytest.importorskip(_package, reason="extras: gallery")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, inscene) -> Iterator[dict[str, str]]:
    with pulled(["buffalo_l"], tmp_path_factory.mktemp("weights"), inscene) as variables:
        yield variables


@pytest.fixture
def scrfd(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> DetectorChoice:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return DetectorChoice("scrfd")


def photo(seed: int, *faces: tuple[float, float, float], side: int = 640) -> np.ndarray:
    """Dark noise with white squares: x, y, side of each, px."""
    image = np.asarray(synthetic_photo(seed, side, side)) // 8
    for x, y, size in faces:
        paint_face(image, x, y, size)
    return image


def marked(x: float, y: float, size: float, mark: int) -> np.ndarray:
    """A face with a stripe of its own, by which the recogniser tells it from others."""
    image = photo(1, (x, y, size))
    _stripe(image, x, y, size, mark)
    return image


def _stripe(image: np.ndarray, x: float, y: float, size: float, mark: int) -> None:
    half = round(size / 2)
    rows = slice(round(y) - half, round(y) + half)
    start = round(x) - half + mark
    image[rows, start : start + 8] = 190


def test_one_size_after_the_other_until_one_shows_a_face(scrfd: DetectorChoice) -> None:
    """The tiny detector finds 32, 64 and 128 px at the size that it looks at."""
    assert RETRY_SIZES_PX == (640, 576, 512, 448, 384, 320, 256)
    choice = FaceChoice(scrfd)
    small = choice.find(photo(0, (200, 200, 128)))
    assert small is not None
    assert small.how == "scrfd@640"
    large = choice.find(photo(0, (320, 320, 300)))
    assert large is not None
    size = int(large.how.removeprefix("scrfd@"))
    assert size in RETRY_SIZES_PX[1:]
    assert FaceChoice(DetectorChoice("scrfd", sizes_px=(640,))).find(photo(0, (320, 320, 300))) is (
        None
    )
    assert choice.find(photo(0)) is None
    assert choice.landmarks(photo(0)) is None
    points = choice.landmarks(photo(0, (200, 200, 128)))
    assert points is not None
    assert np.allclose(points.mean(0), small.face.landmarks5.mean(0))


def test_without_references_the_largest_leads(scrfd: DetectorChoice) -> None:
    found = FaceChoice(scrfd).find(photo(0, (150, 150, 64), (450, 450, 128)))
    assert found is not None
    assert found.faces == 2
    assert found.similarity is None
    assert np.allclose(found.face.landmarks5.mean(0), (450, 450), atol=25)


def test_with_references_the_most_alike_leads(scrfd: DetectorChoice) -> None:
    scene = photo(0, (160, 160, 128), (448, 448, 128))  # on the detector's own grid
    _stripe(scene, 160, 160, 128, 32)
    _stripe(scene, 448, 448, 128, 80)
    choice = FaceChoice(scrfd)
    for mark, place in ((32, (160, 160)), (80, (448, 448))):
        found = choice.find(scene, [marked(320, 320, 128, mark)])
        assert found is not None
        assert np.allclose(found.face.landmarks5.mean(0), place, atol=5)
        assert found.similarity is not None
        assert found.similarity > 0.9
    largest = [
        FaceChoice(scrfd, "largest").find(scene, [marked(320, 320, 128, mark)]) for mark in (32, 80)
    ]
    places = [found.face.landmarks5 for found in largest if found is not None]
    assert (places[0] == places[1]).all()
    no_face = choice.find(scene, [photo(3)])  # nothing to compare with
    assert no_face is not None
    assert no_face.similarity is None


def test_references_are_aligned_and_those_without_a_face_left_out(scrfd: DetectorChoice) -> None:
    choice = FaceChoice(scrfd)
    aligned = choice.align_references([photo(1, (300, 300, 128)), photo(2)])
    assert [one.shape for one in aligned] == [(512, 512, 3)]
    assert aligned[0][200:300, 200:300].mean() > 250
    assert choice.align_references([photo(1, (300, 300, 128))])[0] is aligned[0]  # remembered


def test_more_references_than_are_remembered(
    scrfd: DetectorChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inscene.restore.face_choice.REMEMBERED", 2)
    choice = FaceChoice(scrfd)
    photos = [photo(seed, (100 + 40 * seed, 300, 128)) for seed in range(4)]
    once, again = choice.align_references(photos), choice.align_references(photos)
    assert len(once) == 4
    assert all((a == b).all() for a, b in zip(once, again, strict=True))


def test_mtcnn_looks_once(astronaut: np.ndarray, landmarks5: np.ndarray) -> None:
    found = FaceChoice(DetectorChoice("mtcnn")).find(astronaut)
    assert found is not None
    assert (found.how, found.faces) == ("mtcnn", 1)
    assert np.abs(found.face.landmarks5 - landmarks5).max() < 2


def test_a_recogniser_that_is_not_here_is_missed_when_it_is_needed(
    astronaut: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "none"))
    choice = FaceChoice(DetectorChoice("mtcnn"))
    one = choice.find(astronaut, [astronaut])  # a single face needs no comparison
    assert one is not None
    assert choice.fingerprint()["embedder_weights"] is None
    choice.require(references=False)
    with pytest.raises(MissingWeightError, match="buffalo_l"):
        choice.require(references=True)
    two = np.hstack([astronaut[:, 100:350], astronaut[:, 100:350]])
    with pytest.raises(MissingWeightError, match="buffalo_l"):
        choice.find(two, [astronaut])
    largest = FaceChoice(DetectorChoice("mtcnn"), "largest")
    largest.require(references=True)
    assert largest.find(two, [astronaut]) is not None


def test_the_fingerprint_says_what_decides(scrfd: DetectorChoice) -> None:
    prints = {
        str(FaceChoice(detector, leads).fingerprint())
        for detector in (scrfd, DetectorChoice("scrfd", sizes_px=(640,)), DetectorChoice("mtcnn"))
        for leads in ("most_alike", "largest")
    }
    assert len(prints) == 6
    assert FaceChoice(scrfd).fingerprint()["embedder_weights"] is not None
    with pytest.raises(ValueError, match="a detector that looks"):
        FaceChoice(DetectorChoice("metadata"))
