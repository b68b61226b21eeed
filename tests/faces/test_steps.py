"""`detect_faces`, `landmarks` and `identity` in whole runs, from a pull to the table.

The models are small ones in the official layout, pulled from a hub on this machine by the command
that a user types. The detector finds white squares, the recogniser is random: what is tested is
that everything arrives where it belongs. Commands run in this process, which imports the models'
libraries once; those whose work is done by others, in one of their own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from command_here import inscene_here
from loopback.pulled import pulled
from PIL import Image
from synthetic_photos import synthetic_photo
from tiny_weights.insightface_packs import paint_face

for _package in ("insightface", "onnxruntime", "onnx", "ultralytics", "facexlib"):
    pytest.importorskip(_package, reason="extras: gallery, generate")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # the models' libraries', as in a process of their own
]

MODELS = ["buffalo_l", "antelopev2", "yolov8n-face", "ir-se-50"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, inscene) -> Iterator[dict[str, str]]:
    """Weights that were pulled from a loopback hub."""
    folder = tmp_path_factory.mktemp("weights")
    with pulled(MODELS, folder, inscene) as variables:
        yield variables


@pytest.fixture(autouse=True)
def _environment(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def photo(index: int, *faces: tuple[float, float, float]) -> np.ndarray:
    """A dark photo of noise with white squares: x, y, side of each, px."""
    image = np.asarray(synthetic_photo(index, 320, 240)) // 8
    for x, y, side in faces:
        paint_face(image, x, y, side)
    return image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six with one face, one with two, one with none, and one that is damaged."""
    folder = tmp_path / "photos"
    (folder / "anna").mkdir(parents=True)
    for index in range(6):
        Image.fromarray(photo(index, (100 + 10 * index, 90, 64))).save(
            folder / "anna" / f"{index}.png"
        )
    two = photo(7, (70, 60, 32), (220, 160, 64))
    Image.fromarray(two).save(folder / "anna" / "two.png")
    Image.fromarray(photo(8)).save(folder / "anna" / "none.png")
    (folder / "anna" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


Build = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def build(inscene, photos: Path, tmp_path: Path) -> Build:
    """Runs steps over the photos by the command line and gives the rows."""

    def run(*steps: object, options: tuple[str, ...] = (), code: int = 1) -> list[dict[str, Any]]:
        recipe = {"name": "faces", "makes": "scenes", "shard_rows": 2, "batch_rows": 2}
        recipe["steps"] = ["decode", *steps]  # type: ignore[assignment]
        path = tmp_path / "faces.yaml"
        path.write_text(yaml.safe_dump(recipe))
        out = tmp_path / "out"
        command = ["build", "gallery", photos, "--recipe", path, "--out", out, *options]
        others = {"process", "ray"} & set(options)
        (inscene if others else inscene_here)(*command, code=code)
        inscene_here("verify", out)
        rows = pq.read_table(out / "data").to_pylist()
        return sorted(rows, key=lambda row: row["sample_id"])

    return run


def dropped(tmp_path: Path) -> dict[str, str]:
    rows = pq.read_table(tmp_path / "out" / "drops").to_pylist()
    return {row["sample_id"]: row["reason"] for row in rows}


SCRFD = {"detect_faces": {"detector": "scrfd", "sizes_px": [320]}}


def test_faces_and_landmarks(build: Build, tmp_path: Path) -> None:
    rows = build(SCRFD, "landmarks")
    assert len(rows) == 7
    for index, row in enumerate(rows[:6]):
        x0, y0, x1, y1 = row["face_bbox"]
        assert np.allclose([x0, y0, x1, y1], [68 + 10 * index, 58, 132 + 10 * index, 122], atol=10)
        assert 0.5 < row["face_score"] <= 1
        assert row["scores"]["faces"] == 1
        assert row["scores"]["face_area"] == pytest.approx((x1 - x0) * (y1 - y0) / 320 / 240)
        left_eye, right_eye, nose, *_ = np.reshape(row["landmarks5"], (5, 2))
        assert x0 < left_eye[0] < nose[0] < right_eye[0] < x1
        assert len(row["landmarks68"]) == 136
    two = rows[6]
    assert two["scores"]["faces"] == 2
    assert two["face_bbox"][0] > 150  # the larger
    assert dropped(tmp_path) == {"anna/none.png": "no_face", "anna/torn.png": "image_truncated"}


def test_metadata_takes_what_the_dataset_has(build: Build, tmp_path: Path) -> None:
    before = build(SCRFD, "landmarks")
    (tmp_path / "again.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "again",
                "makes": "scenes",
                "steps": ["decode", {"detect_faces": {"detector": "metadata"}}],
            }
        )
    )
    out = tmp_path / "again"
    inscene_here(
        "build", "gallery", tmp_path / "out", "--recipe", tmp_path / "again.yaml", "--out", out
    )
    after = pq.read_table(out / "data").to_pylist()
    assert [row["face_bbox"] for row in after] == [row["face_bbox"] for row in before]
    assert [row["landmarks5"] for row in after] == [row["landmarks5"] for row in before]


def test_yolov8_face(build: Build) -> None:
    rows = build(
        {"detect_faces": {"detector": "yolov8-face", "sizes_px": [320], "min_score": 0.05}}
    )
    assert all(len(row["landmarks5"]) == 10 for row in rows)


@pytest.fixture
def references(photos: Path, tmp_path: Path) -> Path:
    """Three of Anna's own photos, and one without a face."""
    folder = tmp_path / "references"
    (folder / "anna").mkdir(parents=True)
    for name in ("0.png", "1.png", "2.png", "none.png"):
        (folder / "anna" / name).write_bytes((photos / "anna" / name).read_bytes())
    return folder


def identity(references: Path, **more: object) -> dict[str, object]:
    return {"identity": {"references": str(references), "min": "none", **more}}


@pytest.mark.parametrize("embedder", ["w600k_r50", "glintr100", "ir_se50"])
def test_identity(build: Build, references: Path, embedder: str) -> None:
    rows = build(SCRFD, identity(references, embedder=embedder))
    assert {row["identity"] for row in rows} == {"anna"}
    assert {row["identity_model"] for row in rows} == {embedder}
    for row in rows:
        scores = row["scores"]
        assert row["identity_score"] == pytest.approx(scores["identity_mean"], abs=1e-6)
        assert -1 <= scores["identity_mean"] <= scores["identity_max"] <= 1
        assert scores["identity_max"] < 0.9999 or row["sample_id"] not in (
            "anna/0.png", "anna/1.png", "anna/2.png",
        )  # never with itself # fmt: skip
        assert scores["identity_conditioning"] is None


def test_identity_is_the_cosine_of_the_library_itself(
    build: Build, references: Path, photos: Path, environment: dict[str, str]
) -> None:
    """Detected, cropped and embedded by insightface's own classes."""
    from insightface.model_zoo import SCRFD as Detector
    from insightface.model_zoo import ArcFaceONNX

    from inscene.faces.crops import identity_crop

    pack = Path(environment["INSCENE_WEIGHTS"]) / "buffalo_l"
    detector = Detector(str(pack / "det_10g.onnx"))
    detector.prepare(-1, input_size=(320, 320), det_thresh=0.5)
    recogniser = ArcFaceONNX(str(pack / "w600k_r50.onnx"))

    def embedded(name: str) -> np.ndarray:
        bgr = np.asarray(Image.open(photos / "anna" / name).convert("RGB"))[..., ::-1]
        _, points = detector.detect(np.ascontiguousarray(bgr))
        feature = recogniser.get_feat([identity_crop(bgr, points[0])]).ravel()
        return feature / np.linalg.norm(feature)

    rows = build(SCRFD, identity(references))
    by_name = {row["sample_id"]: row["scores"]["identity_mean"] for row in rows}
    theirs = np.mean([embedded("5.png") @ embedded(f"{index}.png") for index in range(3)])
    assert by_name["anna/5.png"] == pytest.approx(theirs, abs=0.01)  # the references at more sizes


def test_a_threshold_drops_and_keeps_the_scores(
    build: Build, references: Path, tmp_path: Path
) -> None:
    rows = build(SCRFD, identity(references, min=1.0, against="max"))
    assert rows == []
    drops = pq.read_table(tmp_path / "out" / "drops").to_pylist()
    unlike = [row for row in drops if row["reason"] == "unlike_references"]
    assert len(unlike) == 7
    assert all(row["scores"]["identity"] == row["scores"]["identity_max"] for row in unlike)
    assert all("< 1" in row["detail"] for row in unlike)


def test_the_face_most_like_the_references(build: Build, references: Path) -> None:
    largest = build(SCRFD, identity(references, against="max"))[6]
    assert largest["face_bbox"][0] > 150


def test_of_several_faces_the_one_most_alike(build: Build, references: Path) -> None:
    row = build(SCRFD, identity(references, against="max", face="most_alike"))[6]
    assert row["sample_id"] == "anna/two.png"
    left, right = 70, 220
    x0, _, x1, _ = row["face_bbox"]
    assert min(abs((x0 + x1) / 2 - x) for x in (left, right)) < 5
    assert row["scores"]["identity"] == row["scores"]["identity_max"]


def test_people_without_references(build: Build, references: Path, tmp_path: Path) -> None:
    (references / "anna").rename(references / "berta")
    assert build(SCRFD, identity(references)) == []
    assert Counter(dropped(tmp_path).values())["no_references"] == 7


@pytest.mark.parametrize("workers", ["process", "ray"])
def test_each_worker_has_each_model_once_with_one_thread(
    build: Build, references: Path, workers: str
) -> None:
    rows = build(
        SCRFD,
        "landmarks",
        identity(references),
        {"detect_faces": {"detector": "yolov8-face", "sizes_px": [64], "min_score": 0.0}},
        "report_models:ReportModels",
        options=("--executor", workers, "--workers", "2"),
    )
    reports = {tuple(row["tags"]) for row in rows}
    assert len({report[0] for report in reports}) == 2  # both workers have worked
    # det_10g twice: the references are looked at at all sizes, the scenes at one.
    held = {"1k3d68.onnx": 1, "det_10g.onnx": 2, "w600k_r50.onnx": 1}
    for report in reports:
        sessions = [tag.removeprefix("onnx=") for tag in report if tag.startswith("onnx=")]
        assert Counter(sessions) == {f"{name} threads=1": count for name, count in held.items()}
        assert "yolo=1" in report
        assert "torch threads=1" in report


def test_the_table_is_the_same_for_any_workers(
    build: Build, references: Path, tmp_path: Path
) -> None:
    steps = (SCRFD, "landmarks", identity(references))
    hashes = set()
    for number, options in enumerate(
        [("--executor", "inline"), ("--executor", "process", "--workers", "2")]
    ):
        build(*steps, options=options)
        verdict = json.loads(inscene_here("verify", tmp_path / "out", "--json").stdout)
        hashes.add(verdict["table_hash"])
        (tmp_path / "out").rename(tmp_path / f"out-{number}")
    assert len(hashes) == 1


def test_the_recipe_hash_knows_weights_and_references(
    photos: Path, references: Path, tmp_path: Path
) -> None:
    def plan() -> str:
        command = ["build", "gallery", photos, "--recipe", tmp_path / "faces.yaml", "--out",
                   tmp_path / "out", "--plan", "--json"]  # fmt: skip
        return json.loads(inscene_here(*command).stdout)["recipe_hash"]

    recipe = {"name": "faces", "makes": "scenes", "steps": ["decode", SCRFD, identity(references)]}
    (tmp_path / "faces.yaml").write_text(yaml.safe_dump(recipe))
    first = plan()
    assert plan() == first
    moved = tmp_path / "moved"
    references.rename(moved)
    recipe["steps"][2] = identity(moved)  # type: ignore[index]
    (tmp_path / "faces.yaml").write_text(yaml.safe_dump(recipe))
    assert plan() == first
    (moved / "anna" / "2.png").unlink()
    assert plan() != first


def test_weights_that_are_missing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "empty"))
    recipe = {"name": "faces", "makes": "scenes", "steps": ["decode", SCRFD]}
    (tmp_path / "faces.yaml").write_text(yaml.safe_dump(recipe))
    out = tmp_path / "out"
    done = inscene_here(
        "build", "gallery", photos, "--recipe", tmp_path / "faces.yaml", "--out", out, code=4
    )
    for part in ("det_10g.onnx (391 kB)", "1.1 MB to download", "Licence: insightface NC",
                 "Run: inscene weights pull buffalo_l"):  # fmt: skip
        assert part in done.stderr
    assert not out.exists()


def test_weights_that_were_changed(
    photos: Path, tmp_path: Path, environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    copy = tmp_path / "weights"
    shutil.copytree(environment["INSCENE_WEIGHTS"], copy)
    monkeypatch.setenv("INSCENE_WEIGHTS", str(copy))
    (copy / "buffalo_l" / "det_10g.onnx").write_bytes(b"another")
    recipe = {"name": "faces", "makes": "scenes", "steps": ["decode", SCRFD]}
    (tmp_path / "faces.yaml").write_text(yaml.safe_dump(recipe))
    command = ["build", "gallery", photos, "--recipe", tmp_path / "faces.yaml"]
    done = inscene_here(*command, "--out", tmp_path / "out", code=5)
    assert "det_10g.onnx is not the file it should be" in done.stderr


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"detect_faces": {"detector": "mtcnn", "sizes_px": [320]}}, "mtcnn takes no sizes_px"),
        ({"detect_faces": {"detector": "retinaface"}}, "detector"),
        ({"detect_faces": {"detector": "scrfd", "sizes_px": [100]}}, "multiple of 32"),
        ({"detect_faces": {"detector": "scrfd", "weights": "nothing"}}, "no weights 'nothing'"),
        ({"identity": {"references": "/nowhere"}}, "no folder of references"),
        ({"identity": {"references": ".", "embedder": "ir_se50"}}, "published a threshold"),
        ({"identity": {"references": ".", "min": 2}}, "min"),
    ],
)
def test_mistakes_in_a_recipe(photos: Path, tmp_path: Path, step, says: str) -> None:
    recipe = {"name": "faces", "makes": "scenes", "steps": ["decode", step]}
    (tmp_path / "faces.yaml").write_text(yaml.safe_dump(recipe))
    command = ["build", "gallery", photos, "--recipe", tmp_path / "faces.yaml"]
    done = inscene_here(*command, "--out", tmp_path / "out", code=2)
    assert says in done.stderr
    assert not (tmp_path / "out").exists()
