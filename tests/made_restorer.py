"""Small data and recipes for the tests of the restorer's training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from synthetic_photos import synthetic_photo

from inscene import images
from inscene.schema import KINDS
from inscene.training.restorer.recipe import RestorerRecipe

TINY: dict[str, Any] = {
    "steps": 4,
    "batch": 2,
    "micro_batch": 2,
    "device": "cpu",
    "model": {"family": "tiny", "fadex": "untrained"},
    "data": {
        "crop_px": 32,
        "scene_px": 64,
        "faces": {"stand_in_px": (32, 36)},
    },
    "validation": {"images": 2, "crop_px": 32, "every": 4},
    "generator": {"learning_rate": 1e-3, "mapnet_learning_rate": 1e-3},
    "critic_hidden": 8,
    "log_every": 1,
    "loader_workers": 0,
}


def tiny(**changes: Any) -> RestorerRecipe:
    """``data={"flip": False}`` changes that one key."""
    merged = {
        name: {**TINY.get(name, {}), **value} if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return RestorerRecipe.model_validate({**TINY, **merged})


def write_photos(folder: Path, count: int, width: int = 80, height: int = 72) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        synthetic_photo(number, width, height).save(folder / f"{number:02d}.png")
    return folder


def cell(image: np.ndarray) -> dict[str, Any]:
    return {"bytes": images.encode_png(np.ascontiguousarray(image)), "path": "image.png"}


def photo(seed: int, side: int) -> np.ndarray:
    return np.asarray(synthetic_photo(seed, side, side))


def pair_row(sample: int, version: int, side: int = 64, **columns: Any) -> dict[str, Any]:
    """LQ is a quarter as large; the red of its first pixel is the version."""
    hq = photo(sample, side)
    lq = cv2.resize(hq, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
    lq[0, 0, 0] = version
    row = {"sample_id": f"{sample}.png", "split": "train", "version": version, "lq": cell(lq)}
    row |= {"hq": cell(hq), "operator_id": f"op{sample}-{version}", "sha256": f"{sample:064x}"}
    return {**row, "width": side, "height": side, "provenance": "{}", **columns}


def face_row(sample: int, version: int, side: int = 36, **columns: Any) -> dict[str, Any]:
    lq, hq = photo(100 + 10 * sample + version, side), photo(sample, side)
    row = {"sample_id": f"{sample}.png", "split": "train", "version": version}
    row |= {"lq_face": cell(lq), "hq_face": cell(hq), "gt_face": cell(hq)}
    row |= {"operator_id": f"op{sample}-{version}", "box": [0, 0, side, side]}
    return {**row, "provenance": "{}", **columns}


def write_table(kind: str, file: Path, rows: Sequence[dict[str, Any]]) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=KINDS[kind].schema), file)
    return str(file)
