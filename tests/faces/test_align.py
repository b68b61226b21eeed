"""Alignment: the fit against a general solver, and faces that come back to where they were."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.transform import SimilarityTransform

from inscene.faces.align import Alignment, Box
from inscene.faces.face import Face
from inscene.faces.similarity import fit_similarity
from inscene.faces.templates import ARCFACE_112, FFHQ_512

# Of scikit-image's astronaut, by eye; px.
ASTRONAUT = np.array(
    [[205.0, 108.0], [246.0, 107.0], [229.0, 128.0], [212.0, 147.0], [246.0, 146.0]]
)

angles = st.floats(-math.pi, math.pi)
scales = st.floats(0.02, 50)
places = st.floats(-2000, 2000)


def similarity(scale: float, angle: float, dx: float, dy: float) -> np.ndarray:
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[a, -b, dx], [b, a, dy]])


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


@settings(deadline=None, derandomize=True, max_examples=100)
@given(scale=scales, angle=angles, dx=places, dy=places)
def test_an_exact_similarity_is_found(scale: float, angle: float, dx: float, dy: float) -> None:
    matrix = similarity(scale, angle, dx, dy)
    fitted = fit_similarity(FFHQ_512.landmarks5, apply(matrix, FFHQ_512.landmarks5))
    np.testing.assert_allclose(fitted.matrix, matrix, rtol=1e-9, atol=1e-6)
    assert fitted.scale == pytest.approx(scale)
    assert math.cos(fitted.angle - angle) == pytest.approx(1)
    there_and_back = fitted.inverse(fitted(ASTRONAUT))
    np.testing.assert_allclose(there_and_back, ASTRONAUT, atol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(seed=st.integers(0, 10**6), jitter=st.floats(0, 20), angle=st.floats(-1.5, 1.5))
def test_the_fit_is_the_least_squares_one(seed: int, jitter: float, angle: float) -> None:
    rng = np.random.default_rng(seed)
    points = apply(similarity(0.4, angle, 30, 50), FFHQ_512.landmarks5)
    points += rng.normal(0, jitter, points.shape)
    expected = SimilarityTransform.from_estimate(points, FFHQ_512.landmarks5)
    fitted = fit_similarity(points, FFHQ_512.landmarks5)
    np.testing.assert_allclose(fitted.matrix, expected.params[:2], rtol=1e-7, atol=1e-7)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    mirrored = FFHQ_512.landmarks5 * [-1, 1]
    fitted = fit_similarity(mirrored, FFHQ_512.landmarks5)
    assert np.linalg.det(fitted.matrix[:, :2]) > 0


@pytest.mark.parametrize(
    "points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), np.inf)]
)
def test_points_without_extent_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="points"):
        Alignment.fit(points)


@pytest.mark.parametrize("bad", [np.zeros((4, 2)), np.full((5, 2), np.nan)])
def test_a_face_has_five_finite_points(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="five points"):
        Face((0, 0, 1, 1), 0.5, bad)
    with pytest.raises(ValueError, match="x0 < x1"):
        Face((5, 0, 1, 1), 0.5, np.zeros((5, 2)))


@pytest.mark.parametrize("template", [FFHQ_512, ARCFACE_112])
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("angle", [0.0, 0.3, -1.2])
def test_dots_on_the_landmarks_arrive_and_come_back(template, scale: float, angle: float) -> None:
    """Drawn, warped, found again as centres of mass: within half a pixel both ways."""
    size = template.size_px
    middle = np.full(2, size / 2)
    turned = similarity(scale * 512 / size / 2, angle, 0, 0)
    points = apply(turned, template.landmarks5 - middle) + 600
    alignment = Alignment.fit(points, template)
    for index, target in enumerate(template.landmarks5):
        scene = dot(points[index], 1200, 6 * max(alignment.scene_px, 1))
        aligned = alignment.align(scene)
        assert np.abs(centre_of(aligned) - target).max() < 0.5
        box = Box(0, 0, 1200, 1200)
        back, valid = alignment.bring_back(aligned, box)
        back = (back * (valid[..., None] == 1)).astype(np.uint8)
        assert np.abs(centre_of(back) - points[index]).max() < 0.5


def dot(place: np.ndarray, size: int, sigma: float) -> np.ndarray:
    line = np.arange(size)
    x, y = (np.exp(-0.5 * ((line - p) / sigma) ** 2) for p in place)
    return np.repeat(np.rint(255 * np.outer(y, x)).astype(np.uint8)[..., None], 3, axis=2)


def centre_of(image: np.ndarray) -> np.ndarray:
    weights = image[..., 0].astype(float)
    weights[weights < 20] = 0
    y, x = np.indices(weights.shape)
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


def test_a_photo_comes_back_as_it_was() -> None:
    photo = data.astronaut()
    alignment = Alignment.fit(ASTRONAUT)
    box = alignment.square(photo.shape[:2])
    assert box is not None
    back, valid = alignment.bring_back(alignment.align(photo), box)
    assert valid.min() > 0.999  # inside the aligned face, every pixel has a counterpart
    difference = back.astype(float) - box.crop(photo)
    assert np.sqrt((difference**2).mean()) < 6
    shift, _ = cv2.phaseCorrelate(
        cv2.cvtColor(back, cv2.COLOR_RGB2GRAY).astype(np.float32),
        cv2.cvtColor(np.ascontiguousarray(box.crop(photo)), cv2.COLOR_RGB2GRAY).astype(np.float32),
    )
    assert np.hypot(*shift) < 0.1


@settings(deadline=None, derandomize=True, max_examples=100)
@given(scale=st.floats(0.05, 4), angle=angles, dx=st.floats(-200, 900), dy=st.floats(-200, 900))
def test_the_square_lies_inside_face_and_scene(
    scale: float, angle: float, dx: float, dy: float
) -> None:
    points = apply(similarity(scale, angle, dx, dy), FFHQ_512.landmarks5)
    alignment = Alignment.fit(points)
    box = alignment.square((700, 800))
    if box is None:
        return
    assert (box.width % 2, box.height % 2) == (0, 0)
    assert 0 <= box.x0 < box.x1 <= 800
    assert 0 <= box.y0 < box.y1 <= 700
    corners = np.array([[x, y] for x in (box.x0, box.x1 - 1) for y in (box.y0, box.y1 - 1)])
    inside = alignment.to_template(corners)
    assert inside.min() >= -1e-6
    assert inside.max() <= 512 + 1e-6


def test_the_square_is_the_largest_one() -> None:
    points = apply(similarity(1.5, 0.4, 100, 100), FFHQ_512.landmarks5)
    box = Alignment.fit(points).square((5000, 5000))
    assert box is not None
    expected = 512 * 1.5 / (math.cos(0.4) + math.sin(0.4))
    assert expected - 4 <= box.width <= expected


def test_the_mask_is_whole_in_the_middle_and_nothing_at_the_edge() -> None:
    alignment = Alignment.fit(FFHQ_512.landmarks5)
    mask = alignment.insertion_mask((600, 700))
    assert mask.shape == (600, 700)
    assert mask[256, 256] == 1
    for x, y in FFHQ_512.landmarks5:
        assert mask[round(y), round(x)] > 0.9
    assert mask[0].max() == mask[:, 0].max() == 0
    assert mask[520:].max() == mask[:, 520:].max() == 0
    along = mask[256, 256:]
    assert (np.diff(along) <= 1e-6).all()  # never rises outwards
    assert np.abs(np.diff(along)).max() < 0.03  # no visible edge
