"""What a suite's view makes of an output and its clean image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from inscene.bench.views import View
from inscene.engine.rows import Fail, Keep, Row
from inscene.engine.step import StepContext
from inscene.faces.templates import ARCFACE_112, FFHQ_512

CLEAN = data.astronaut()
LANDMARKS = FFHQ_512.landmarks5 * 0.25 + [160, 50]
BOX = [190.0, 80.0, 260.0, 180.0]


def row(**columns: object) -> Row:
    face = {"face_bbox": BOX, "face_score": 1.0, "landmarks5": LANDMARKS.ravel().tolist()}
    made = Row("a", {"sample_id": "a", **face, **columns}, pixels=CLEAN)
    made.images["restored"] = 255 - CLEAN
    return made


def seen(of: str, one: Row) -> Row:
    (outcome,) = View(of).setup(StepContext(0))([one])  # type: ignore[arg-type]
    assert isinstance(outcome, Keep)
    return outcome.rows[0]


def test_the_whole_scene() -> None:
    found = seen("scene", row(face_bbox=None))
    assert found.pixels is CLEAN
    assert found.images["restored"].shape == CLEAN.shape


def test_the_face_box_of_both() -> None:
    found = seen("face", row())
    assert np.array_equal(found.pixels, CLEAN[80:180, 190:260])
    assert np.array_equal(found.images["restored"], 255 - CLEAN[80:180, 190:260])


def test_a_box_that_reaches_beyond_the_image() -> None:
    found = seen("face", row(face_bbox=[-20.0, 400.0, 60.0, 600.0]))
    assert np.array_equal(found.pixels, CLEAN[400:, :60])


def test_the_clean_face_in_the_output() -> None:
    found = seen("face_inserted", row())
    mixed = found.images["restored"]
    centre_y, centre_x = 50 + 64, 160 + 64
    assert np.array_equal(mixed[centre_y, centre_x], CLEAN[centre_y, centre_x])
    assert np.array_equal(mixed[0:40], 255 - CLEAN[0:40])
    assert found.pixels is CLEAN
    assert ((mixed != CLEAN) & (mixed != 255 - CLEAN)).any()  # and soft between


def test_faces_as_a_recogniser_sees_them() -> None:
    one = row()
    one.images["restored"] = CLEAN
    found = seen("identity", one)
    assert found.images["restored"].shape == (112, 112, 3)
    assert np.array_equal(found.images["restored"], found.pixels)
    x, y = ARCFACE_112.landmarks5[0].round().astype(int)
    left_eye = LANDMARKS[0].round().astype(int)
    near = CLEAN[left_eye[1] - 2 : left_eye[1] + 3, left_eye[0] - 2 : left_eye[0] + 3]
    assert np.abs(found.pixels[y, x].astype(int) - near.reshape(-1, 3).mean(0)).max() < 40


@pytest.mark.parametrize("of", ["face", "face_inserted", "identity"])
@pytest.mark.parametrize(
    ("columns", "reason"),
    [({"landmarks5": None}, "no_face_known"), ({"face_bbox": [1, 2]}, "stored_face_unusable")],
)
def test_rows_without_a_face(of: str, columns: dict[str, object], reason: str) -> None:
    (outcome,) = View(of).setup(StepContext(0))([row(**columns)])  # type: ignore[arg-type]
    assert isinstance(outcome, Fail)
    assert outcome.reason == reason


def test_a_face_outside_of_its_image() -> None:
    (outcome,) = View("face").setup(StepContext(0))([row(face_bbox=[600.0, 600.0, 700.0, 700.0])])
    assert isinstance(outcome, Fail)
    assert outcome.reason == "face_outside"
