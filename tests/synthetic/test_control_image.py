"""Control images: what is drawn where, in which colour, and how bright."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.errors import SampleError
from inscene.faces.detectors import ByteImage
from inscene.faces.face import Face
from inscene.faces.templates import ARCFACE_112
from inscene.synthetic.generate import control_image
from inscene.synthetic.generate.control_image import (
    black,
    drawn,
    drawn_from_photo,
    face_layout,
    fitted,
)

FACE = np.array([[60.0, 70], [140, 60], [105, 110], [70, 160], [150, 150]])
RGB = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]
WIDTH, HEIGHT = 208, 240


def test_black_is_nothing() -> None:
    assert black(48, 32).shape == (32, 48, 3)
    assert not black(48, 32).any()


def test_the_drawing_is_the_one_that_was_looked_at() -> None:
    """A change of any pixel is a change of what InfuseNet is told."""
    image = drawn(FACE, WIDTH, HEIGHT)
    found = hashlib.sha256(image.tobytes()).hexdigest()
    assert found == "58a18c754d5710663c5e2e3ada4a7084e8bc5c09873f19db57aade729c40a4f2"


def test_discs_and_sticks_are_where_geometry_has_them() -> None:
    """Against the equations of circle and ellipse; a pixel on an outline may be in or out."""
    image = drawn(FACE, WIDTH, HEIGHT).astype(int)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    expected = np.zeros((HEIGHT, WIDTH, 3), int)
    unsure = np.zeros((HEIGHT, WIDTH), bool)
    for index in (0, 1, 3, 4):
        along = FACE[index] - FACE[2]
        length = np.hypot(*along)
        u, v = along / length
        dx, dy = x - (FACE[index] + FACE[2])[0] / 2, y - (FACE[index] + FACE[2])[1] / 2
        radius = np.hypot((dx * u + dy * v) / (length / 2), (dy * u - dx * v) / 4)
        expected[radius <= 1] = [int(level * 0.6) for level in RGB[index]]
        # Whole pixels and degrees move an outline by a pixel, which is a quarter of 4.
        unsure |= (radius > 0.55) & (radius < 1.5)
    for (cx, cy), colour in zip(FACE, RGB, strict=True):
        distance = np.hypot(x - cx, y - cy)
        expected[distance <= 10] = colour
        unsure &= distance > 9
        unsure |= (distance > 9) & (distance < 11)
    assert unsure.mean() < 0.1
    np.testing.assert_array_equal(image[~unsure], expected[~unsure])


def test_each_landmark_has_its_own_colour() -> None:
    for (x, y), colour in zip(FACE.astype(int), RGB, strict=True):
        assert tuple(drawn(FACE, WIDTH, HEIGHT)[y, x]) == colour
    middle = ((FACE[0] + FACE[2]) / 2).astype(int)
    assert tuple(drawn(FACE, WIDTH, HEIGHT)[middle[1], middle[0]]) == (153, 0, 0)


def test_what_leaves_the_image_is_cut() -> None:
    moved = drawn(FACE - (100, 0), WIDTH, HEIGHT)
    whole = drawn(FACE, WIDTH, HEIGHT)[:, 100:180]
    assert (moved[:, :80] != whole).mean() < 0.001  # outlines that are cut are rounded anew
    assert not moved[:, 80:].any()


@pytest.mark.parametrize("points", [FACE[:4], FACE * np.nan, np.zeros((5, 3))])
def test_other_points_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="five points"):
        drawn(points, WIDTH, HEIGHT)


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 90), st.integers(20, 90), st.integers(32, 96), st.integers(32, 96))
def test_a_photo_fits_the_shorter_side_of_its_target(w: int, h: int, width: int, height: int):
    photo = np.full((h, w, 3), 40, np.uint8)
    page = fitted(photo, width, height)
    assert page.shape == (height, width, 3)
    rows, columns = np.where((page < 128).all(-1))
    if width <= height:
        assert np.ptp(columns) + 1 == width
        assert np.ptp(rows) + 1 == min(height, width * h // w)
        assert abs((height - 1) / 2 - rows.mean()) <= 1
    else:
        assert np.ptp(rows) + 1 == height
        assert np.ptp(columns) + 1 == min(width, height * w // h)
        assert abs((width - 1) / 2 - columns.mean()) <= 1
    assert set(np.unique(page)) <= {40, 255}


class OneFace:
    """Finds a face where the image is red, as large as that is."""

    def detect(self, images: Sequence[ByteImage], stored: Sequence[Face | None] = ()):
        return [self._of(image) for image in images]

    def _of(self, image: ByteImage) -> list[Face]:
        rows, columns = np.where(image[..., 0].astype(int) - image[..., 1] > 128)
        if not rows.size:
            return []
        x, y = columns.min(), rows.min()
        side = float(np.ptp(columns) + 1)
        points = ARCFACE_112.landmarks5 / 112 * side + np.array([x, y])
        return [Face((x, y, x + side, y + side), 1.0, points)]


def test_the_face_of_a_photo_is_drawn_where_it_comes_to_lie() -> None:
    photo = np.zeros((200, 100, 3), np.uint8)
    photo[50:100, 25:75] = (255, 0, 0)
    image = drawn_from_photo(photo, 200, 400, OneFace())
    expected = drawn(ARCFACE_112.landmarks5 / 112 * 100 + (50, 100), 200, 400)
    assert (image != expected).mean() < 0.01  # Lanczos leaves the square's edge within a pixel
    with pytest.raises(SampleError, match="no_face_in_control: nobody was found in a photo of 60"):
        drawn_from_photo(np.zeros((40, 60, 3), np.uint8), 64, 64, OneFace())


def test_a_layout_has_a_face_of_the_wanted_height() -> None:
    at_112 = face_layout(256, 512, face_height_px=112, centre=(0.5, 0.5))
    np.testing.assert_array_equal(
        at_112, drawn(ARCFACE_112.landmarks5 + np.array([128 - 56, 256 - 56]), 256, 512)
    )
    eyes = []
    for height_px in (100, 200):
        image = face_layout(1024, 1152, face_height_px=height_px)
        rows, columns = np.where((image == RGB[0]).all(-1))
        right = np.where((image == RGB[1]).all(-1))[1]
        eyes.append(right.mean() - columns.mean())
        assert rows.mean() < 1152 / 4
    assert eyes[1] == pytest.approx(2 * eyes[0], abs=2)
    assert eyes[0] == pytest.approx(100 * (73.5318 - 38.2946) / 112, abs=1)


@pytest.mark.parametrize(
    ("height_px", "centre"), [(0, (0.5, 0.25)), (2000, (0.5, 0.25)), (100, (0.0, 0.5))]
)
def test_a_face_must_fit_its_layout(height_px: float, centre: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=f"a face of {height_px} px"):
        face_layout(1024, 1152, face_height_px=height_px, centre=centre)


def test_colours_cannot_be_swapped_unnoticed() -> None:
    assert control_image.COLOURS.tolist() == [list(colour) for colour in RGB]
