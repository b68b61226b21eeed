"""Face pairs: cut where the face is, never resampled on the LQ side, and pixel upon pixel."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.errors import SampleError
from inscene.faces.align import Alignment
from inscene.faces.face import Points
from inscene.faces.templates import FFHQ_512
from inscene.restore.pairing import FacePlace, at_scene_size, pair_in_scene, round_trip

HEIGHT, WIDTH = 240, 250


def landmarks(scale: float, angle: float, x: float, y: float) -> Points:
    """Those of the template, turned about its middle, which comes to x, y."""
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    return (FFHQ_512.landmarks5 - 256) @ np.array([[a, -b], [b, a]]).T + (x, y)


def ramp() -> np.ndarray:
    """Red is the column, green the row: a shift of one px is one level."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    return np.stack([columns, rows, rows * 0], axis=-1).astype(np.uint8)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    scale=st.floats(0.05, 1.5),
    angle=st.floats(-math.pi, math.pi),
    x=st.floats(-60, WIDTH + 60),
    y=st.floats(-60, HEIGHT + 60),
)
def test_what_is_aligned_comes_back_to_its_place(
    scale: float, angle: float, x: float, y: float
) -> None:
    scene, points = ramp(), landmarks(scale, angle, x, y)
    if Alignment.fit(points).square((HEIGHT, WIDTH)) is None:
        return  # see below
    place = FacePlace.of(points, (HEIGHT, WIDTH))
    pair = place.pair(scene, place.align(scene))
    box = pair.box
    assert 0 <= box.x0 < box.x1 <= WIDTH
    assert 0 <= box.y0 < box.y1 <= HEIGHT
    assert pair.lq.shape == pair.hq.shape == (box.height, box.width, 3)
    assert pair.valid.shape == (box.height, box.width)
    assert pair.side_px == min(box.width, box.height)
    assert (pair.lq == scene[box.y0 : box.y1, box.x0 : box.x1]).all()  # cropped, no more
    rim = 2 + math.ceil(3 * scale)
    inside = np.s_[rim:-rim, rim:-rim]
    if pair.lq[inside].size:
        assert pair.valid[inside].min() > 0.99
        shift = pair.hq[inside].astype(float) - pair.lq[inside]
        assert np.abs(shift[..., :2].mean((0, 1))).max() < 0.5
        assert np.abs(shift).max() <= 2


@pytest.mark.parametrize("scale", [0.06, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("angle", [0.0, 0.5, -2.0])
def test_landmarks_are_less_than_half_a_pixel_off(scale: float, angle: float) -> None:
    """A dot on each, aligned and brought back: found again as its centre of mass."""
    side = 1400
    points = landmarks(scale, angle, 700.3, 699.6)
    sigma = max(1.5, 6 * scale)
    for point in points:
        line = np.arange(side)
        x, y = (np.exp(-0.5 * ((line - p) / sigma) ** 2) for p in point)
        scene = np.repeat(np.rint(250 * np.outer(y, x)).astype(np.uint8)[..., None], 3, axis=2)
        place = FacePlace.of(points, (side, side))
        pair = place.pair(scene, place.align(scene))
        weights = np.where(pair.hq[..., 0] < 20, 0, pair.hq[..., 0].astype(float))
        rows, columns = np.indices(weights.shape)
        centre = np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
        corner = np.array([pair.box.x0, pair.box.y0])
        assert np.abs(corner + centre - point).max() < 0.5


def test_a_face_that_the_border_cuts_gives_a_rectangle(astronaut: np.ndarray) -> None:
    points = landmarks(0.3, 0.0, 20, 256)
    pair = pair_in_scene(astronaut, points, np.zeros((512, 512, 3), np.uint8))
    assert (pair.box.x0, pair.box.width < pair.box.height) == (0, True)
    assert pair.side_px == pair.box.width
    assert not pair.hq.any()


def test_a_small_face_is_a_small_pair(astronaut: np.ndarray) -> None:
    pair = pair_in_scene(
        astronaut, landmarks(0.05, 0.1, 200, 200), np.zeros((512, 512, 3), np.uint8)
    )
    assert 20 <= pair.side_px < 32


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (landmarks(0.3, 0.0, -200, 100), "face_without_pixels"),
        (landmarks(0.001, 0.0, 100, 100), "face_without_pixels"),
        (np.full((5, 2), 7.0), "landmarks_unusable"),
        (np.full((5, 2), np.nan), "landmarks_unusable"),
    ],
)
def test_where_nothing_is_left_the_reason_says_so(points: Points, reason: str) -> None:
    with pytest.raises(SampleError) as caught:
        FacePlace.of(points, (HEIGHT, WIDTH))
    assert caught.value.reason == reason


def test_other_sizes_are_refused() -> None:
    place = FacePlace.of(landmarks(0.3, 0.0, 100, 100), (HEIGHT, WIDTH))
    with pytest.raises(ValueError, match="a scene of"):
        place.align(np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8))
    with pytest.raises(ValueError, match="aligned face of 512 px"):
        place.pair(ramp(), np.zeros((256, 256, 3), np.uint8))


def test_a_round_trip_of_the_crop_is_that_of_the_scene(
    astronaut: np.ndarray, landmarks5: np.ndarray
) -> None:
    place = FacePlace.of(landmarks5, (512, 512))
    pair = place.pair(astronaut, place.align(astronaut))
    moved = landmarks5 - (place.box.x0, place.box.y0)
    trip = round_trip(pair.lq, moved)
    assert trip.shape == pair.hq.shape
    assert np.abs(trip[4:-4, 4:-4].astype(int) - pair.hq[4:-4, 4:-4]).max() <= 2
    assert (trip != pair.lq).mean() > 0.1  # it was resampled


def test_an_lq_comes_to_its_scenes_size_as_torch_enlarges() -> None:
    import torch

    lq = np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8)
    assert at_scene_size(lq, (30, 41)) is lq
    planes = torch.from_numpy(lq.transpose(2, 0, 1).copy())[None].float()
    for how in ("bilinear", "bicubic"):
        theirs = torch.nn.functional.interpolate(
            planes, size=(120, 164), mode=how, align_corners=False
        )
        expected = theirs[0].clamp(0, 255).numpy().transpose(1, 2, 0)
        ours = at_scene_size(lq, (120, 164), how)  # type: ignore[arg-type]
        assert np.abs(ours - expected).max() <= 1
    with pytest.raises(SampleError, match="lq_larger_than_scene"):
        at_scene_size(lq, (30, 40))


def test_as_tensors(astronaut: np.ndarray, landmarks5: np.ndarray) -> None:
    import torch

    place = FacePlace.of(landmarks5, (512, 512))
    pair = place.pair(astronaut, 255 - place.align(astronaut))
    made = pair.face_pair()
    assert made.lq.shape == (3, pair.box.height, pair.box.width)
    assert made.lq.dtype == torch.float32
    back = (made.lq.numpy().transpose(1, 2, 0) + 1) * 127.5
    assert np.allclose(back, pair.lq, atol=1e-4)
    assert torch.corrcoef(torch.stack([made.lq.ravel(), made.hq.ravel()]))[0, 1] < -0.99
    assert pair.face_pair(dtype=torch.bfloat16).hq.dtype == torch.bfloat16


def test_cv2_is_asked_for_whole_arrays(astronaut: np.ndarray, landmarks5: np.ndarray) -> None:
    """A flipped view, whose strides are negative, gives what its copy gives."""
    view = astronaut[:, ::-1]
    mirrored = (landmarks5 * (-1, 1) + (511, 0))[[1, 0, 2, 4, 3]]
    place = FacePlace.of(mirrored, (512, 512))
    pair = place.pair(view, place.align(view))
    assert (pair.lq == place.box.crop(np.ascontiguousarray(view))).all()
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float32) for one in (pair.lq, pair.hq)]
    assert math.hypot(*cv2.phaseCorrelate(*grey)[0]) < 0.1
