"""Suites that look at faces, from a photo to the board: landmarks travel with the pairs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from skimage import data

pytest.importorskip("facenet_pytorch")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, inscene) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    (folder / "photos").mkdir()
    Image.fromarray(data.astronaut()).save(folder / "photos" / "a.png")
    recipe = {"name": "faces", "makes": "scenes", "steps": ["decode", "detect_faces"]}
    (folder / "faces.yaml").write_text(yaml.safe_dump(recipe))
    inscene("build", "gallery", folder / "photos", "--recipe", folder / "faces.yaml",
            "--out", folder / "scenes")  # fmt: skip
    inscene("degrade", folder / "scenes", "--versions", "2", "--out", folder / "pairs")
    return folder / "pairs"


def test_pairs_have_the_face_of_their_scene(pairs: Path) -> None:
    (scene,) = pq.read_table(pairs.parent / "scenes" / "data").to_pylist()
    for row in pq.read_table(pairs / "data").to_pylist():
        assert row["landmarks5"] == scene["landmarks5"]
        assert row["face_bbox"] == scene["face_bbox"]
        scale = Image.open(io.BytesIO(row["lq"]["bytes"])).width / 512
        assert np.allclose(row["lq_face_bbox"], np.multiply(row["face_bbox"], scale), atol=1)


def psnr(board: str) -> float:
    (line,) = [line for line in board.splitlines() if ",psnr," in line]
    return float(line.split(",")[3])


def test_views_of_one_output(pairs: Path, inscene, tmp_path: Path) -> None:
    """With the clean face inserted the scene is nearer; both are the numbers of their view."""
    found = {}
    for view in ("scene", "face", "face_inserted"):
        suite = {
            "title": view,
            "answers": "nothing",
            "dataset": {"folder": str(pairs), "make": "Make it."},
            "view": view,
            "metrics": ["psnr"],
        }
        (tmp_path / f"{view}.yaml").write_text(yaml.safe_dump(suite))
        out = tmp_path / view
        inscene("bench", "--suite", tmp_path / f"{view}.yaml", "--method", "bicubic", "--out", out)
        found[view] = psnr(inscene("leaderboard", out, "--format", "csv").stdout)
    assert found["face_inserted"] > found["scene"] + 0.05
    assert found["face"] != found["scene"]
