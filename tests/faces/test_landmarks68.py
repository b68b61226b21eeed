"""68 landmarks: those of insightface's own class."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from tiny_weights.insightface_packs import write_landmarks68, write_w600k

from inscene.errors import MachineError
from inscene.faces.face import Face
from inscene.faces.landmarks68 import Landmarks68

pytest.importorskip("insightface")

ANY_POINTS = np.arange(10.0).reshape(5, 2)
FACES = [
    Face(box, 1, ANY_POINTS)
    for box in [(180, 60, 280, 190), (0, 0, 512, 512), (-40, 300.5, 60.25, 350), (500, 0, 520, 9)]
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("landmarks") / "1k3d68.onnx"
    write_landmarks68(file)
    return file


def test_points_are_those_of_insightface(weights: Path) -> None:
    from insightface.app.common import Face as PeerFace
    from insightface.model_zoo import get_model

    photo = data.astronaut()
    peer = get_model(str(weights), providers=["CPUExecutionProvider"])
    found = Landmarks68(weights, threads=1).find(photo, FACES)
    assert len(found) == len(FACES)
    for face, points in zip(FACES, found, strict=True):
        assert (points.shape, points.dtype) == ((68, 2), np.float64)
        expected = peer.get(photo[..., ::-1], PeerFace(bbox=np.array(face.bbox)))
        np.testing.assert_allclose(points, expected[:, :2], atol=0.01)
    assert np.abs(np.diff(found[0], axis=0)).max() > 1  # or the comparison would mean little


def test_points_move_with_the_image(weights: Path) -> None:
    photo = data.astronaut()
    landmarks = Landmarks68(weights, threads=1)
    (before,) = landmarks.find(photo, FACES[:1])
    x0, y0, x1, y1 = FACES[0].bbox
    moved = Face((x0 - 50, y0 - 20, x1 - 50, y1 - 20), 1, ANY_POINTS)
    (after,) = landmarks.find(photo[20:, 50:], [moved])
    np.testing.assert_allclose(after, before - [50, 20], atol=0.01)


def test_no_faces_have_no_points(weights: Path) -> None:
    assert Landmarks68(weights, threads=1).find(data.astronaut(), []) == []


def test_what_is_refused(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_w600k(tmp_path / "w600k_r50.onnx")
    with pytest.raises(MachineError, match=r"w600k_r50.onnx: this is not the landmark model"):
        Landmarks68(tmp_path / "w600k_r50.onnx")
    monkeypatch.setitem(sys.modules, "insightface.model_zoo", None)
    with pytest.raises(MachineError, match=r"inscene\[gallery\]"):
        Landmarks68(weights)
