"""Reference photos from installed packages: faces of people, cut out so that the tiny detector,
which looks for what is bright on black, sees them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

SIDE_PX, FACE_PX = 160, 64


def write_package_people(folder: Path) -> Path:
    """Three people, the first with two photographs. Skips without scikit-image or insightface."""
    data = pytest.importorskip("skimage.data", reason="package: scikit-image")
    insightface = pytest.importorskip("insightface", reason="extra: generate")
    group = Path(insightface.__file__).parent / "data/images/t1.jpg"
    with Image.open(group) as opened:
        table = np.asarray(opened.convert("RGB"))
    astronaut = data.astronaut()
    for name, photo, x, y in (
        ("00001/0.png", astronaut, 220, 120),
        ("00001/1.png", astronaut[:, ::-1], 512 - 220, 120),
        ("00289/12.png", table, 115, 330),
        ("00704/3.png", table, 805, 400),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_cut_out(photo, x, y)).save(folder / name)
    return folder


def _cut_out(photo: np.ndarray, x: int, y: int, half_px: int = 60) -> np.ndarray:
    face = photo[y - half_px : y + half_px, x - half_px : x + half_px]
    face = cv2.resize(face, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
    card = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    middle = slice((SIDE_PX - FACE_PX) // 2, (SIDE_PX + FACE_PX) // 2)
    card[middle, middle] = 175 + face // 3.2
    return card
