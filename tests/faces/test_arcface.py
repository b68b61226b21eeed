"""Embeddings: those of insightface's own class, whatever the batch."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from tiny_weights.insightface_packs import write_landmarks68, write_scrfd, write_w600k

from inscene.errors import MachineError, SampleError
from inscene.faces.crops import identity_crop
from inscene.faces.embedders import unit_length
from inscene.faces.embedders.arcface import ArcFaceOnnx
from inscene.faces.similarity import fit_similarity
from inscene.faces.templates import ARCFACE_112

pytest.importorskip("insightface")

# Of scikit-image's astronaut, by eye; px.
ASTRONAUT = np.array(
    [[205.0, 108.0], [246.0, 107.0], [229.0, 128.0], [212.0, 147.0], [246.0, 146.0]]
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("arcface") / "w600k_r50.onnx"
    write_w600k(file)
    return file


@pytest.fixture(scope="module")
def crops() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    photo = data.astronaut()
    places = rng.integers(0, 400, (11, 2))
    return [photo[y : y + 112, x : x + 112] for x, y in places]


def test_embeddings_are_those_of_insightface(weights: Path, crops: list[np.ndarray]) -> None:
    from insightface.model_zoo import get_model

    peer = get_model(str(weights), providers=["CPUExecutionProvider"])
    expected = np.concatenate([peer.get_feat(crop[..., ::-1]) for crop in crops])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = ArcFaceOnnx(weights, name="w600k_r50", threads=1).embed(crops)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_red_is_not_blue(weights: Path, crops: list[np.ndarray]) -> None:
    embedder = ArcFaceOnnx(weights, name="w600k_r50", threads=1)
    as_they_are, swapped = embedder.embed([crops[0], crops[0][..., ::-1]])
    assert float(as_they_are @ swapped) < 0.999


def test_the_batch_changes_nothing(
    weights: Path, crops: list[np.ndarray], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    single = ArcFaceOnnx(weights, name="w600k_r50", batch=1, threads=1).embed(crops)
    for batch in (3, 8, 32):
        found = ArcFaceOnnx(weights, name="w600k_r50", batch=batch, threads=1).embed(crops)
        np.testing.assert_allclose(found, single, atol=1e-5)
    write_w600k(tmp_path / "fixed.onnx", batch=1)
    fixed = ArcFaceOnnx(tmp_path / "fixed.onnx", name="fixed", batch=8, threads=1)
    np.testing.assert_array_equal(fixed.embed(crops), single)
    assert capfd.readouterr() == ("", "")  # the official files declare one row and give many


def test_no_crops_have_no_embeddings(weights: Path) -> None:
    found = ArcFaceOnnx(weights, name="w600k_r50", threads=1).embed([])
    assert (found.shape, found.dtype) == ((0, 512), np.float32)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_an_embedding_without_direction_is_refused(bad: float) -> None:
    rows = np.ones((3, 512), np.float32)
    rows[1] = bad
    with pytest.raises(SampleError, match=r"no_identity: .* crop 1"):
        unit_length(rows)


def test_what_is_refused(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"\(112, 112, 3\) are needed"):
        ArcFaceOnnx(weights, name="w600k_r50").embed([np.zeros((128, 128, 3), np.uint8)])
    write_scrfd(tmp_path / "det_10g.onnx")
    write_landmarks68(tmp_path / "1k3d68.onnx")
    for other in ("det_10g.onnx", "1k3d68.onnx"):
        with pytest.raises(MachineError, match=rf"{other}: this is not a face recogniser"):
            ArcFaceOnnx(tmp_path / other, name="other")
    monkeypatch.setitem(sys.modules, "insightface.model_zoo", None)
    with pytest.raises(MachineError, match=r"inscene\[gallery\]"):
        ArcFaceOnnx(weights, name="w600k_r50")


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_crops_are_those_of_insightface(scale: float, angle: float) -> None:
    from insightface.utils.face_align import norm_crop

    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rng = np.random.default_rng(1)
    points = (ASTRONAUT - ASTRONAUT.mean(0)) @ turn.T + ASTRONAUT.mean(0) + rng.normal(0, 1, (5, 2))
    photo = data.astronaut()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-image's, about insightface's call
        expected = norm_crop(photo, points)
    found = identity_crop(photo, points)
    assert found.shape == (112, 112, 3)
    assert np.abs(found.astype(float) - expected).mean() < 0.1


def test_beyond_the_image_a_crop_is_black() -> None:
    crop = identity_crop(np.full((60, 60, 3), 255, np.uint8), ARCFACE_112.landmarks5)
    assert crop[:59, :59].min() == 255
    assert crop[61:].max() == crop[:, 61:].max() == 0


def test_a_crop_has_the_landmarks_where_the_template_has_them() -> None:
    photo = np.zeros((400, 400, 3), np.uint8)
    eye = np.round(ASTRONAUT[0]).astype(int)
    photo[eye[1] - 2 : eye[1] + 3, eye[0] - 2 : eye[0] + 3] = 255
    y, x, _ = np.argwhere(identity_crop(photo, ASTRONAUT) == 255).mean(0)
    to_template = fit_similarity(ASTRONAUT, ARCFACE_112.landmarks5)
    np.testing.assert_allclose([x, y], to_template(ASTRONAUT[:1])[0], atol=0.5)
