"""One table, whoever makes it and in whatever order."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from made import make_table

from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.recipe import load_recipe


@pytest.mark.parametrize("count", [1, 2, 4])
def test_processes(recipe, photo_folder, tmp_path, expected, count: int) -> None:
    workers = engine.Workers("process", count)
    assert make_table(recipe, [str(photo_folder)], tmp_path / "out", workers) == expected


def test_shuffled_input_order(recipe, photo_folder, tmp_path, expected) -> None:
    """The same files, created in another order, listed one by one in another order."""
    files = [path for path in photo_folder.rglob("*.jpg")]
    random.Random(5).shuffle(files)
    copy = tmp_path / photo_folder.name
    for path in files:
        target = copy / path.relative_to(photo_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert (
        make_table(recipe, [str(copy)], tmp_path / "copied", engine.Workers("inline")) == expected
    )

    singles = sorted(str(path) for path in files)
    in_order = make_table(recipe, singles, tmp_path / "singles", engine.Workers("inline"))
    random.Random(6).shuffle(singles)
    assert make_table(recipe, singles, tmp_path / "shuffled", engine.Workers("inline")) == in_order


def test_shard_size_and_batch_size_do_not_matter(write_recipe, photo_folder, tmp_path) -> None:
    hashes = set()
    for shard_rows, batch_rows in ((4, 2), (7, 3), (64, 64)):
        name = f"r{shard_rows}"
        recipe = write_recipe(name=name, shard_rows=shard_rows, batch_rows=batch_rows)
        loaded, source = load_recipe(str(recipe), ["name=same"])
        engine.run(engine.plan(build(loaded, source), [str(photo_folder)], str(tmp_path / name)))
        rows = rows_without_provenance(tmp_path / name)
        hashes.add(rows)
    assert len(hashes) == 1


def rows_without_provenance(dataset: Path) -> str:
    """The recipe's hash is in the provenance, and shard_rows is part of the recipe."""
    import pyarrow.dataset as ds

    table = ds.dataset(dataset / "data").to_table().sort_by("sample_id").drop_columns("provenance")
    return repr(table.to_pylist())
