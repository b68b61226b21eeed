"""Whatever happens to a dataset's files afterwards, ``verify`` sees it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.recipe import load_recipe


@pytest.fixture(scope="module")
def sound(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sound") / "out"
    recipe, source = load_recipe("photos", ["shard_rows=10"])
    engine.run(engine.plan(build(recipe, source), [str(photo_folder)], str(out)))
    assert verify(str(out)).problems == []
    return out


def flip_a_byte(out: Path) -> None:
    file = sorted((out / "data").iterdir())[0]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut_a_file(out: Path) -> None:
    file = sorted((out / "data").iterdir())[0]
    file.write_bytes(file.read_bytes()[:-10])


def lose_a_file(out: Path) -> None:
    sorted((out / "drops").iterdir())[0].unlink()


def add_a_file(out: Path) -> None:
    first = sorted((out / "data").iterdir())[0]
    shutil.copy(first, out / "data/extra.parquet")


def lose_a_record(out: Path) -> None:
    sorted((out / "run/records").iterdir())[0].unlink()


def claim_other_counts(out: Path) -> None:
    file = sorted((out / "run/records").iterdir())[0]
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "kept": record["kept"] + 1}))


def change_the_recipe(out: Path) -> None:
    file = out / "run/recipe.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "seed": 99}))


def repeat_a_row(out: Path) -> None:
    """Two shards whose files are exchanged for one and the same, with records to match."""
    import hashlib

    first, second = sorted((out / "data").iterdir())[:2]
    shutil.copy(first, second)
    digest = hashlib.sha256(second.read_bytes()).hexdigest()
    for record in (out / "run/records").iterdir():
        content = json.loads(record.read_text())
        for name, file in content["files"].items():
            if name.endswith(second.name) and name.startswith("data"):
                file.update(sha256=digest, bytes=second.stat().st_size)
        record.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_byte, "was changed since"),
        (cut_a_file, "bytes, its record says"),
        (lose_a_file, "is missing"),
        (add_a_file, "no record speaks of it"),
        (lose_a_record, "not done"),
        (claim_other_counts, "does not account for every input"),
        (change_the_recipe, "made by another recipe"),
        (repeat_a_row, "occurs 2 times"),
    ],
)
def test_damage_is_seen(damage, words: str, sound: Path, tmp_path: Path, inscene) -> None:
    out = tmp_path / "out"
    shutil.copytree(sound, out)
    damage(out)
    verdict = verify(str(out))
    assert any(words in problem for problem in verdict.problems), verdict.problems
    assert verdict.table_hash is None
    assert words in inscene("verify", out, code=5).stdout


def test_the_hash_sees_every_column(sound: Path) -> None:
    """Changing any one value of any column changes the table hash."""
    from inscene.dataset.store import LocalStore
    from inscene.dataset.tablehash import table_hash
    from inscene.schema import SCENES

    store = LocalStore(sound)
    names = store.list("data/*.parquet")
    before = table_hash(store, names, SCENES)
    assert table_hash(store, names[::-1], SCENES) == before
    changed = {"image": {"bytes": b"x", "path": None}, "width": 1, "height": 1, "tags": ["x"]}
    for column in ("image", "width", "licence", "tags", "sha256"):
        rows = pq.read_table(sound / names[0]).to_pylist()
        rows[0][column] = changed.get(column, "x")
        import pyarrow as pa

        copy = sound.parent / "copy"
        (copy / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=SCENES.schema), copy / "data/a.parquet")
        other = table_hash(LocalStore(copy), ["data/a.parquet"], SCENES)
        alone = table_hash(store, names[:1], SCENES)
        assert other != alone
