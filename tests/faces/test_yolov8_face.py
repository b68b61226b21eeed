"""YOLOv8-face: the boxes of ultralytics' own predictor, and nothing else of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from tiny_weights.yolov8_face import write_evil, write_yolov8n_face

from inscene.errors import MachineError
from inscene.faces.detectors import yolov8_face
from inscene.faces.detectors.yolov8_face import OVERLAP, Yolov8Face
from inscene.faces.face import Face

pytest.importorskip("ultralytics")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("yolo") / "yolov8n-face.pt"
    with yolov8_face._apart():  # the tests' own use of ultralytics leaves nothing behind either
        import ultralytics.nn.tasks  # noqa: F401
    write_yolov8n_face(file)
    return file


def numbers(faces: list[Face]) -> np.ndarray:
    rows = [[*face.bbox, face.score, *face.landmarks5.ravel()] for face in faces]
    return np.array(rows).reshape(-1, 15)


PHOTOS = {
    "square": data.astronaut(),
    "wide": data.coffee(),
    "thin": data.astronaut()[:, 150:330],
    "odd": data.astronaut()[3:394, 7:500],
}


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("size_px", [640, 320])
def test_faces_are_those_of_ultralytics(weights: Path, name: str, size_px: int) -> None:
    from ultralytics import YOLO

    photo = PHOTOS[name]
    (peer,) = YOLO(weights)(
        np.ascontiguousarray(photo[..., ::-1]),
        imgsz=size_px,
        conf=0.3,
        iou=OVERLAP,
        rect=True,
        device="cpu",
        verbose=False,
    )
    expected = np.hstack(
        [
            peer.boxes.xyxy.numpy(),
            peer.boxes.conf.numpy()[:, None],
            peer.keypoints.xy.numpy().reshape(-1, 10),
        ]
    )
    (faces,) = Yolov8Face(weights, min_score=0.3, sizes_px=(size_px,)).detect([photo])
    found = numbers(faces)
    # ultralytics cuts boxes at the edges of the image, and calls points beyond them (0, 0).
    height, width = photo.shape[:2]
    cut = found.clip(0, np.array([width, height] * 2 + [1] + [width, height] * 5))
    assert len(found) == len(expected) >= 2
    by_score = found[:, 4].argsort()[::-1], expected[:, 4].argsort()[::-1]
    np.testing.assert_allclose(cut[by_score[0], :5], expected[by_score[1], :5], atol=0.01)
    inside = (found[by_score[0]] == cut[by_score[0]])[:, 5:].reshape(-1, 5, 2).all(-1)
    assert inside.any()
    points = [rows[:, 5:].reshape(-1, 5, 2) for rows in (found[by_score[0]], expected[by_score[1]])]
    np.testing.assert_allclose(points[0][inside], points[1][inside], atol=0.01)


def test_the_batch_changes_nothing(weights: Path) -> None:
    photos = [*PHOTOS.values(), data.astronaut()[::-1], data.coffee()[:, ::-1], *PHOTOS.values()]
    sizes_px = (320, 640)
    together = Yolov8Face(weights, min_score=0.3, sizes_px=sizes_px, batch=3).detect(photos)
    alone = Yolov8Face(weights, min_score=0.3, sizes_px=sizes_px, batch=1)
    assert len(together) == len(photos)
    for photo, faces in zip(photos, together, strict=True):
        (expected,) = alone.detect([photo])
        np.testing.assert_allclose(numbers(faces), numbers(expected), atol=1e-2)
        areas = [face.area for face in faces]
        assert areas == sorted(areas, reverse=True)
    assert alone.detect([]) == []


def test_sizes_merge_into_faces_that_do_not_overlap(weights: Path) -> None:
    from torch import from_numpy
    from torchvision.ops import box_iou

    photo = PHOTOS["square"]
    per_size = {
        size: numbers(Yolov8Face(weights, min_score=0.3, sizes_px=(size,)).detect([photo])[0])
        for size in (320, 640)
    }
    both = Yolov8Face(weights, min_score=0.3, sizes_px=(320, 640)).detect([photo])[0]
    merged = numbers(both)
    assert merged[:, 4].max() == max(rows[:, 4].max() for rows in per_size.values())
    assert len(merged) <= sum(len(rows) for rows in per_size.values())
    boxes = from_numpy(merged[:, :4])
    overlaps = box_iou(boxes, boxes).numpy()
    assert (overlaps - np.eye(len(merged))).max() <= OVERLAP


def test_landmarks_without_visibility(tmp_path: Path) -> None:
    write_yolov8n_face(tmp_path / "face.pt", dims=2)
    (faces,) = Yolov8Face(tmp_path / "face.pt", min_score=0.3, sizes_px=(320,)).detect(
        [data.astronaut()]
    )
    assert faces


def test_checkpoints_of_2023_open(tmp_path: Path, weights: Path) -> None:
    """They name classes where they were, and functions by getattr."""
    write_yolov8n_face(tmp_path / "old.pt", as_of_2023=True)
    old, new = (
        Yolov8Face(file, sizes_px=(320,), min_score=0.3).detect([data.astronaut()])[0]
        for file in (tmp_path / "old.pt", weights)
    )
    np.testing.assert_array_equal(numbers(old), numbers(new))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 3)])
def test_images_without_room_for_a_face(weights: Path, shape: tuple[int, int]) -> None:
    (faces,) = Yolov8Face(weights, sizes_px=(320,), min_score=1.0).detect(
        [np.zeros((*shape, 3), np.uint8)]
    )
    assert faces == []


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, zipped: bool) -> None:
    write_evil(tmp_path / "face.pt", tmp_path / "victim", zipped=zipped)
    with pytest.raises(MachineError) as caught:
        Yolov8Face(tmp_path / "face.pt")
    assert "carries code" in caught.value.what
    assert f"{os.system.__module__}.system" in str(caught.value)
    assert caught.value.where == str(tmp_path / "face.pt")
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [(0, "it finds boxes without landmarks"), (17, "it has 17 landmarks")],
)
def test_other_models_of_ultralytics_are_refused(
    tmp_path: Path, landmarks: int, message: str
) -> None:
    write_yolov8n_face(tmp_path / "other.pt", landmarks=landmarks)
    with pytest.raises(MachineError, match=message):
        Yolov8Face(tmp_path / "other.pt")


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, weights: Path) -> None:
    import torch

    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "state.pt")
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "dict.pt")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "page.pt").write_bytes(b"<html>not found</html>")
    (tmp_path / "cut.pt").write_bytes(weights.read_bytes()[:-5000])
    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(MachineError, match="not a YOLOv8-face checkpoint") as caught:
            Yolov8Face(file)
        assert caught.value.where == str(file)
    with pytest.raises(MachineError, match="no such model file"):
        Yolov8Face(tmp_path / "yolov8n.pt")  # a name that ultralytics would download
    for sizes_px in [(), (0,), (333,)]:
        with pytest.raises(ValueError, match="multiples of 32"):
            Yolov8Face(weights, sizes_px=sizes_px)


@pytest.mark.parametrize("name", ["it's a face.pt", "yolov5n.pt", "face.bin"])
def test_any_name_of_a_file_will_do(tmp_path: Path, weights: Path, name: str) -> None:
    """ultralytics edits such names, and downloads what it then does not find."""
    (tmp_path / name).write_bytes(weights.read_bytes())
    assert Yolov8Face(tmp_path / name).detect([np.zeros((64, 64, 3), np.uint8)]) is not None


def test_without_the_package_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ultralytics.nn.tasks", None)
    with pytest.raises(MachineError, match=r"inscene\[gallery\]"):
        Yolov8Face(weights)


IN_A_FRESH_PROCESS = """
import os, socket, sys
from pathlib import Path

def refuse(*arguments, **_):
    raise SystemExit(f"asked the network: {arguments}")

socket.getaddrinfo = socket.socket.connect = socket.create_connection = refuse
before = dict(os.environ)

import numpy as np
from inscene.faces.detectors.yolov8_face import Yolov8Face

detector = Yolov8Face(Path(sys.argv[1]), sizes_px=(320,), threads=3)
detector.detect([np.zeros((64, 64, 3), np.uint8)])
import torch
assert torch.get_num_threads() == 3
changed = {name for name in {*before, *os.environ} if before.get(name) != os.environ.get(name)}
assert not {name for name in changed if "YOLO" in name or "OMP" in name}, changed
"""


def test_nothing_is_said_written_or_sent(weights: Path, tmp_path: Path) -> None:
    quiet = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    quiet.pop("OMP_NUM_THREADS", None)
    for name in [name for name in quiet if name.startswith(("YOLO", "ULTRALYTICS", "PYTEST"))]:
        del quiet[name]
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, str(weights)],
        cwd=tmp_path,
        env=quiet | {"PYTHONPATH": str(Path(yolov8_face.__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
