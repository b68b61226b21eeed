"""``inscene degrade``: the same pairs from any executor, and records that reproduce them."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from inscene.degrade import replay


def table_hash(inscene, dataset: Path) -> str:
    return str(json.loads(inscene("verify", dataset, "--json").stdout)["table_hash"])


def test_workers_do_not_matter(photo_folder: Path, tmp_path: Path, inscene) -> None:
    arguments = ["degrade", photo_folder, "--versions", "2", "--set", "shard_rows=5"]
    inscene(*arguments, "--out", tmp_path / "inline", "--executor", "inline")
    for workers in (1, 2, 4):
        out = tmp_path / f"process{workers}"
        inscene(*arguments, "--out", out, "--executor", "process", "--workers", workers)
        assert table_hash(inscene, out) == table_hash(inscene, tmp_path / "inline")


@pytest.mark.parametrize("profile", ["s3diff", "realesrgan", "faceme"])
def test_rows_reproduce_their_lq(profile: str, photo_folder: Path, tmp_path: Path, inscene) -> None:
    out = tmp_path / "pairs"
    inscene(
        "degrade",
        photo_folder,
        "--versions",
        "2",
        "--profile",
        profile,
        "--limit",
        "4",
        "--out",
        out,
    )
    rows = pq.read_table(out / "data").to_pylist()
    assert [(row["sample_id"], row["version"]) for row in rows] == sorted(
        (row["sample_id"], row["version"]) for row in rows
    )
    assert len({row["operator_id"] for row in rows}) == 8
    for row in rows:
        lq, hq = (np.asarray(Image.open(io.BytesIO(row[name]["bytes"]))) for name in ("lq", "hq"))
        assert np.array_equal(replay(hq, json.loads(row["operator"])), lq)


def test_seed_changes_every_pair(photo_folder: Path, tmp_path: Path, inscene) -> None:
    ids = []
    for seed in (1, 2):
        out = tmp_path / f"{seed}"
        inscene("degrade", photo_folder, "--limit", "3", "--seed", seed, "--out", out)
        ids.append(set(pq.read_table(out / "data", columns=["operator_id"])[0].to_pylist()))
    assert len(ids[0]) == len(ids[1]) == 15
    assert not ids[0] & ids[1]


def test_names_and_order_do_not_matter(photo_folder: Path, tmp_path: Path, inscene) -> None:
    """The same photos under other names, so in another order: the same pairs."""
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    for index, file in enumerate(sorted(photo_folder.rglob("*.jpg"), key=lambda f: f.name[::-1])):
        shutil.copy(file, shuffled / f"{index:03d}.jpg")
    made = []
    for source in (photo_folder, shuffled):
        out = tmp_path / f"pairs-{source.name}"
        inscene("degrade", source, "--versions", "2", "--out", out)
        table = pq.read_table(out / "data", columns=["sha256", "version", "lq", "operator"])
        made.append(
            {
                (row["sha256"], row["version"]): (row["lq"]["bytes"], row["operator"])
                for row in table.to_pylist()
            }
        )
    assert len(made[0]) == 48
    assert made[0] == made[1]
