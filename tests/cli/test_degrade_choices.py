"""``inscene degrade`` with presets, operators from files, shared operators and varying blur; and
``inscene verify --replay``, which makes every one of them again."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def rows_of(dataset: Path) -> list[dict[str, Any]]:
    return pq.read_table(dataset / "data").to_pylist()


def replayed(inscene, dataset: Path, rows: str = "all", code: int = 0) -> dict[str, Any]:
    done = inscene("verify", dataset, "--replay", rows, "--json", code=code)
    return json.loads(done.stdout)["replayed"]


def test_preset_then_its_operator_from_a_file(photo_folder: Path, tmp_path: Path, inscene) -> None:
    arguments = ["degrade", photo_folder, "--limit", "3", "--versions", "2"]
    inscene(*arguments, "--preset", "d2", "--out", tmp_path / "preset")
    rows = rows_of(tmp_path / "preset")
    assert len({row["operator_id"] for row in rows}) == 1
    assert len({row["seed"] for row in rows}) == 6
    record = json.loads(rows[0]["operator"])
    assert record["profile"] == "d2"

    # The record of a row is a file that --operator takes, and so is the operator in it.
    for name, content in (("record.json", record), ("operator.json", record["operator"])):
        file = tmp_path / name
        file.write_text(json.dumps(content))
        inscene(*arguments, "--operator", file, "--out", tmp_path / name[:-5])
        again = rows_of(tmp_path / name[:-5])
        assert [row["lq"] for row in again] == [row["lq"] for row in rows]
    assert replayed(inscene, tmp_path / "preset")["problems"] == []


def test_shared_operators(photo_folder: Path, tmp_path: Path, inscene) -> None:
    arguments = ["degrade", photo_folder, "--limit", "7", "--versions", "2", "--set"]
    arguments += ["shard_rows=3", "--operator-pool", "auto"]
    inscene(*arguments, "--out", tmp_path / "inline", "--executor", "inline")
    inscene(*arguments, "--out", tmp_path / "process", "--executor", "process", "--workers", "2")
    rows = rows_of(tmp_path / "inline")
    assert [row["operator"] for row in rows] == [
        row["operator"] for row in rows_of(tmp_path / "process")
    ]
    images, seeds = defaultdict(set), defaultdict(set)
    for row in rows:
        images[row["operator_id"]].add(row["sample_id"])
        seeds[row["operator_id"]].add(row["seed"])
    assert len(images) == 7
    assert all(len(members) == 2 for members in images.values())
    assert all(len(members) == 2 for members in seeds.values())


def test_varying_blur_and_a_field_of_kernels(photo_folder: Path, tmp_path: Path, inscene) -> None:
    arguments = ["degrade", photo_folder, "--limit", "2", "--versions", "2"]
    inscene(*arguments, "--varying-blur", "--out", tmp_path / "lens")
    record = json.loads(rows_of(tmp_path / "lens")[0]["operator"])
    assert record["operator"]["first"]["blur"]["family"] == "lens"
    assert set(record["effective"]["first"]["blur_sigma_at"]) == {"centre", "corners"}

    kernels = np.random.default_rng(0).random((3, 3, 5, 5))
    np.savez(tmp_path / "field.npz", psf=kernels)
    inscene(*arguments, "--psf-field", tmp_path / "field.npz", "--out", tmp_path / "field")
    (tmp_path / "field.npz").unlink()  # the dataset has kept it
    for name in ("lens", "field"):
        assert replayed(inscene, tmp_path / name) == {"rows": 4, "of": 4, "problems": []}


def test_stored_at_gt_size(photo_folder: Path, tmp_path: Path, inscene) -> None:
    arguments = ["degrade", photo_folder, "--limit", "2", "--versions", "1"]
    inscene(*arguments, "--set", "degrade.out=gt", "--set", "degrade.sf=2", "--out", tmp_path / "o")
    for row in rows_of(tmp_path / "o"):
        record = json.loads(row["operator"])
        assert (record["out"], record["sf"]) == ("gt", 2)
        head = row["lq"]["bytes"][16:24]  # PNG: width, height
        assert int.from_bytes(head[:4], "big") == row["width"]
        assert int.from_bytes(head[4:], "big") == row["height"]
    assert replayed(inscene, tmp_path / "o")["problems"] == []


def test_replay_finds_what_is_not_reproduced(photo_folder: Path, tmp_path: Path, inscene) -> None:
    inscene("degrade", photo_folder, "--limit", "3", "--versions", "1", "--out", tmp_path / "pairs")
    sampled = replayed(inscene, tmp_path / "pairs", "2")
    assert (sampled["rows"], sampled["of"]) == (2, 3)

    (file,) = (tmp_path / "pairs/data").glob("*.parquet")
    table = pq.read_table(file)
    records = [json.loads(text) for text in table["operator"].to_pylist()]
    records[1]["noise_seed"] += 1
    records[2] = {}
    column = pa.array([json.dumps(record) for record in records])
    changed = table.set_column(table.column_names.index("operator"), "operator", column)
    (tmp_path / "loose").mkdir()
    pq.write_table(changed, tmp_path / "loose/pairs.parquet")

    from inscene.degrade.verify import open_pairs, replay_rows

    found = replay_rows(open_pairs(str(tmp_path / "loose")), 3, 3)
    names = [f"{row['sample_id']}@0" for row in table.to_pylist()]
    assert [problem.partition(": ")[0] for problem in found.problems] == names[1:]
    assert "not the recorded one" in found.problems[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "d1", "--operator", "x.json"], ["exclude each other"]),
        (["--preset", "d1", "--operator-pool", "2"], ["operator and operator_pool exclude"]),
        (["--operator-pool", "99"], ["cannot each serve two"]),
        (["--operator-pool", "2", "--set", "degrade.poisson_levels=auto"], ["cannot be shared"]),
        (["--psf-field", "lens.txt"], [".npz"]),
        (["--psf-field", "none.npz"], ["none.npz", "cannot be read"]),
        (["--preset", "d5"], ["'d5'", "d1"]),
        (["--operator", "no.json"], ["no.json", "neither a file nor"]),
    ],
)
def test_mistakes(
    arguments: list[str], words: list[str], photo_folder: Path, tmp_path: Path, inscene
) -> None:
    done = inscene(
        "degrade", photo_folder, "--limit", "3", *arguments, "--out", tmp_path / "x", code=2
    )
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "x").exists()  # the right command may follow
