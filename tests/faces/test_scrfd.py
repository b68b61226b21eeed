"""SCRFD with a network that finds white squares: where they are, at which size, in which order."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from tiny_weights.insightface_packs import LANDMARKS, paint_face, write_scrfd, write_w600k

from inscene.errors import MachineError
from inscene.faces.detectors.scrfd import Scrfd
from inscene.faces.face import Face

pytest.importorskip("insightface")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("scrfd") / "det_10g.onnx"
    write_scrfd(file)
    return file


def assert_covers(face: Face, x: float, y: float, side_px: float, within_px: float) -> None:
    half = side_px / 2
    expected = [x - half, y - half, x + half, y + half]
    np.testing.assert_allclose(face.bbox, expected, atol=within_px)
    np.testing.assert_allclose(face.landmarks5, LANDMARKS * half + [x, y], atol=within_px)


@pytest.mark.parametrize(
    ("height", "width", "x", "y"),
    [(640, 640, 320, 160), (320, 640, 480, 160), (1280, 640, 320, 1120), (1152, 1024, 960, 1008)],
)
@pytest.mark.parametrize("side_px", [64, 128])
def test_a_face_is_found_where_it_is(
    weights: Path, height: int, width: int, x: int, y: int, side_px: int
) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    paint_face(image, x, y, side_px)
    ((face,),) = Scrfd(weights, sizes_px=(640,), threads=1).detect([image])
    # The network answers in whole strides; a stride is a quarter of the side at most.
    assert_covers(face, x, y, side_px, side_px / 4)


@pytest.mark.parametrize("shape", [(1152, 1024), (1000, 333), (333, 1000), (100, 77)])
def test_boxes_come_back_through_the_scale_of_each_axis(
    weights: Path, shape: tuple[int, int]
) -> None:
    """The middle of each corner region, where an error of the scale is the largest."""
    height, width = shape
    size_px = 640
    fit = size_px / max(shape)
    for stride in (8, 16):
        # The places of the network that are farthest in, and their counterparts in the image.
        x, y = (round(side * fit) // stride * stride - 3 * stride for side in (width, height))
        scale = width / round(width * fit), height / round(height * fit)
        image = np.zeros((height, width, 3), np.uint8)
        paint_face(image, x * scale[0], y * scale[1], 4 * stride / fit)
        ((face, *_),) = Scrfd(weights, sizes_px=(size_px,), threads=1).detect([image])
        assert_covers(face, x * scale[0], y * scale[1], 4 * stride / fit, 0.02 * stride / fit)


def test_each_size_finds_the_faces_of_its_scale(weights: Path) -> None:
    image = np.zeros((1024, 1024, 3), np.uint8)
    paint_face(image, 192, 192, 32)
    paint_face(image, 640, 640, 400)
    detect = {sizes: Scrfd(weights, sizes_px=sizes, threads=1) for sizes in [(1024,), (320,)]}
    ((small,),) = detect[1024,].detect([image])
    assert_covers(small, 192, 192, 32, 1)
    ((large,),) = detect[320,].detect([image])
    assert_covers(large, 640, 640, 400, 100)
    ((first, second),) = Scrfd(weights, sizes_px=(320, 1024), threads=1).detect([image])
    assert (first.bbox, second.bbox) == (large.bbox, small.bbox)  # the largest first


def test_what_two_sizes_find_is_one_face(weights: Path) -> None:
    image = np.zeros((640, 640, 3), np.uint8)
    paint_face(image, 320, 320, 64)
    for sizes_px in [(320,), (640,), (320, 640)]:
        assert len(Scrfd(weights, sizes_px=sizes_px, threads=1).detect([image])[0]) == 1


def test_square_images_give_what_insightface_gives(weights: Path) -> None:
    from insightface.model_zoo import get_model

    peer = get_model(str(weights), providers=["CPUExecutionProvider"])
    image = np.zeros((700, 700, 3), np.uint8)
    for place, side_px in [((150, 150), 40), ((400, 450), 90), ((560, 120), 150)]:
        paint_face(image, *place, side_px)
    image[..., 2] //= 2
    sizes_px = (320, 640, 1024)
    boxes, points = peer.detect(image[..., ::-1], [(s, s) for s in sizes_px], det_thresh=0.3)
    (faces,) = Scrfd(weights, sizes_px=sizes_px, min_score=0.3, threads=1).detect([image])
    order = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    assert len(faces) == len(boxes) >= 3
    for face, index in zip(faces, order, strict=True):
        np.testing.assert_allclose(face.bbox, boxes[index, :4], atol=1e-3)
        np.testing.assert_allclose(face.landmarks5, points[index], atol=1e-3)
        assert face.score == pytest.approx(boxes[index, 4])


def test_images_of_one_call_do_not_meet(weights: Path) -> None:
    images = []
    for index in range(3):
        image = np.zeros((400 + 100 * index, 600, 3), np.uint8)
        paint_face(image, 100 + 120 * index, 200, 60)
        images.append(image)
    scrfd = Scrfd(weights, threads=1)
    together = scrfd.detect([*images, data.coffee()])
    for image, faces in zip(images, together, strict=False):
        assert [face.bbox for face in faces] == [face.bbox for face in scrfd.detect([image])[0]]
    assert scrfd.detect([]) == []
    flipped = images[0][:, ::-1]  # a view that OpenCV cannot read as it is
    assert len(scrfd.detect([flipped])[0]) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 3), (20, 40)])
def test_images_without_room_for_a_face(weights: Path, shape: tuple[int, int]) -> None:
    assert Scrfd(weights, threads=1).detect([np.zeros((*shape, 3), np.uint8)]) == [[]]


def test_one_session_for_all_sizes(weights: Path) -> None:
    scrfd = Scrfd(weights, threads=2)
    scrfd.detect([np.zeros((64, 64, 3), np.uint8)])
    sessions = {id(session) for session in scrfd._network.resolution_sessions.values()}
    assert sessions == {id(scrfd._network.session)}
    assert scrfd._network.session.get_session_options().intra_op_num_threads == 2


def test_what_is_refused(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sizes_px in [(), (0,), (333,), (640, 100)]:
        with pytest.raises(ValueError, match="multiples of 32"):
            Scrfd(weights, sizes_px=sizes_px)
    write_w600k(tmp_path / "w600k_r50.onnx")
    with pytest.raises(MachineError, match=r"w600k_r50.onnx: this is not an SCRFD detector"):
        Scrfd(tmp_path / "w600k_r50.onnx")
    monkeypatch.setitem(sys.modules, "insightface.model_zoo", None)
    with pytest.raises(MachineError, match=r"inscene\[gallery\]"):
        Scrfd(weights)
