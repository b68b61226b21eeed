"""`inscene inspect --faces`: where boxes and dots are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from skimage import data

from inscene.dataset.inspect import open_table
from inscene.errors import UsageError
from inscene.faces.sheet import BOX, POINTS5, write_face_sheet

pytest.importorskip("facenet_pytorch")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, inscene) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    (folder / "photos").mkdir()
    Image.fromarray(data.astronaut()).save(folder / "photos" / "astronaut.png")
    Image.fromarray(data.coffee()).save(folder / "photos" / "coffee.png")
    recipe = {"name": "faces", "makes": "scenes", "steps": ["decode", "detect_faces"]}
    (folder / "faces.yaml").write_text(yaml.safe_dump(recipe))
    inscene("build", "gallery", folder / "photos", "--recipe", folder / "faces.yaml",
            "--out", folder / "scenes")  # fmt: skip
    return folder / "scenes"


def test_the_sheet(scenes: Path, inscene, tmp_path: Path) -> None:
    done = inscene("inspect", scenes, "--faces", tmp_path / "sheet.png")
    assert "sheet.png: 1 faces" in done.stdout
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    green = np.argwhere((sheet == BOX).all(-1))
    red = np.argwhere((sheet == POINTS5).all(-1))
    (top, left), (bottom, right) = green.min(0), green.max(0)
    assert 40 < right - left < 90  # the astronaut's face at 320 of 512 px
    assert len(red) > 40
    assert (red >= [top, left]).all()
    assert (red <= [bottom, right]).all()


def test_a_dataset_without_faces(scenes: Path, photo_folder: Path, inscene, tmp_path: Path) -> None:
    inscene(
        "build",
        "gallery",
        photo_folder,
        "--recipe",
        "photos",
        "--out",
        tmp_path / "plain",
        "--limit",
        "2",
    )
    with pytest.raises(UsageError, match=r"no faces with landmarks.*detect_faces"):
        write_face_sheet(open_table(str(tmp_path / "plain")), tmp_path / "x.png", 4)
    with pytest.raises(UsageError, match="a sheet is a PNG"):
        write_face_sheet(open_table(str(scenes)), tmp_path / "x.jpg", 4)
