"""MTCNN on photographs that installed packages carry: the faces that are there, and no more."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from inscene import images
from inscene.errors import MachineError
from inscene.faces.align import Alignment
from inscene.faces.detectors.mtcnn import Mtcnn
from inscene.faces.face import LEFT_EYE, LEFT_MOUTH, NOSE, RIGHT_EYE, RIGHT_MOUTH
from inscene.faces.templates import FFHQ_512

pytest.importorskip("facenet_pytorch")


@pytest.fixture(scope="module")
def mtcnn() -> Mtcnn:
    return Mtcnn()


def photo_of(package: str, name: str) -> np.ndarray:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / name
    return images.decode(file.read_bytes()).pixels


def test_the_faces_that_are_there(mtcnn: Mtcnn) -> None:
    astronaut, group, zidane, none = mtcnn.detect(
        [
            data.astronaut(),
            photo_of("insightface", "data/images/t1.jpg"),
            photo_of("ultralytics", "assets/zidane.jpg"),
            data.coffee(),
        ]
    )
    assert len(astronaut) == 1
    assert len(group) >= 6
    assert len(zidane) == 2
    assert none == []
    for faces in (group, zidane):
        assert [face.area for face in faces] == sorted((face.area for face in faces), reverse=True)
        assert all(face.score >= 0.9 for face in faces)


def test_landmarks_are_in_the_common_order(mtcnn: Mtcnn) -> None:
    ((face,),) = mtcnn.detect([data.astronaut()])
    points = face.landmarks5
    assert points[LEFT_EYE, 0] < points[NOSE, 0] < points[RIGHT_EYE, 0]
    assert points[LEFT_MOUTH, 0] < points[RIGHT_MOUTH, 0]
    assert points[LEFT_EYE, 1] < points[NOSE, 1] < points[LEFT_MOUTH, 1]
    x0, y0, x1, y1 = face.bbox
    assert (points > (x0, y0)).all()
    assert (points < (x1, y1)).all()


def test_an_aligned_face_has_its_landmarks_where_the_template_has_them(mtcnn: Mtcnn) -> None:
    scene = data.astronaut()
    ((face,),) = mtcnn.detect([scene])
    aligned = Alignment.fit(face.landmarks5).align(scene)
    ((again,),) = mtcnn.detect([aligned])
    assert np.abs(again.landmarks5 - FFHQ_512.landmarks5).max() < 0.05 * 512


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 300, 3), (19, 19, 3), (40, 20, 3)])
def test_images_without_room_for_a_face(mtcnn: Mtcnn, shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert mtcnn.detect([image]) == [[]]


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(MachineError) as caught:
        Mtcnn()
    assert "--no-deps facenet-pytorch" in str(caught.value)


@pytest.mark.parametrize("margin_px", [0, 10, 25])
def test_a_face_that_fills_its_image(margin_px: int) -> None:
    """Its landmarks are those that it has in the whole photo."""
    photo = data.astronaut()
    ((face,),) = Mtcnn().detect([photo])
    x0, y0, x1, y1 = (round(value) for value in face.bbox)
    top, left = y0 - margin_px, x0 - margin_px
    crop = photo[top : y1 + margin_px, left : x1 + margin_px]
    ((again,),) = Mtcnn().detect([crop])
    moved = again.landmarks5 + np.array([left, top])
    assert np.abs(moved - face.landmarks5).max() < 0.04 * (x1 - x0)
