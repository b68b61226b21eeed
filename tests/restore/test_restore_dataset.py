"""Datasets of pairs and of scenes, restored by the engine."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inscene import images
from inscene.bench.remarks import remarks_of
from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.engine.run import Workers
from inscene.errors import UsageError
from inscene.recipe import load_recipe
from inscene.restore.datasets import plan_restore
from inscene.restore.photos import inputs_beside

pytest.importorskip("facenet_pytorch")

Read = Callable[..., list[dict[str, Any]]]
Row = dict[str, Any]


@pytest.fixture(scope="session")
def small_pairs(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    """Two versions each of a face and of its background; without landmarks."""
    return _degraded(
        tmp_path_factory.mktemp("small"),
        {"eileen/face.png": astronaut[40:200, 140:300], "space/none.png": astronaut[:96, 300:420]},
    )


def _degraded(folder: Path, photos: dict[str, np.ndarray]) -> Path:
    for name, photo in photos.items():
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(photo)).save(path)
    _made(folder, folder / "photos", "scenes", "decode")
    return _made(folder, folder / "photos", "pairs", "decode", {"degrade": {"versions": 2}})


def _made(folder: Path, source: Path, kind: str, *steps: object) -> Path:
    recipe = folder / f"{kind}.yaml"
    recipe.write_text(json.dumps({"name": kind, "makes": kind, "steps": steps}))
    engine.run(engine.plan(build(*load_recipe(str(recipe))), [str(source)], str(folder / kind)))
    return folder / kind


@pytest.fixture
def restore(checkpoint: Path, tmp_path: Path, read: Read) -> Callable[..., list[Row]]:
    """Restores a dataset in this process; gives its rows."""

    def run(
        source: Path, out: str = "out", references: Path | None = None,
        method: str = "face2scene", limit: int | None = None, **options: Any,
    ) -> list[Row]:  # fmt: skip
        options = {"checkpoint": str(checkpoint), **options}
        given = options if method == "face2scene" else {}
        place = str(tmp_path / out)
        how: dict[str, Any] = {"references": references, "limit": limit}
        engine.run(plan_restore(str(source), place, method, given, **how))
        return read(tmp_path / out)

    return run


def pixels(row: Row) -> np.ndarray:
    return images.decode(row["image"]["bytes"]).pixels


def by_name(rows: Sequence[Row]) -> dict[str, Row]:
    return {f"{row['sample_id']}@{row['version']}": row for row in rows}


def test_pairs(restore, small_pairs: Path, read: Read, tmp_path: Path) -> None:
    rows = by_name(restore(small_pairs, blind="identity"))
    assert set(rows) == {
        f"{name}@{version}" for name in ("eileen/face.png", "space/none.png") for version in (0, 1)
    }
    face, none = rows["eileen/face.png@0"], rows["space/none.png@1"]
    assert pixels(face).shape == (160, 160, 3)
    assert pixels(none).shape == (96, 120, 3)
    assert face["notes"] == ["no_references"]
    assert none["notes"] == ["no_references", "no_face", "text_tokens_only"]
    stages = [stage["stage"] for stage in face["stage_s"]]
    assert stages == ["find_face", "restore_face", "restore_scene"]
    assert face["restore_s"] == pytest.approx(sum(stage["seconds"] for stage in face["stage_s"]))
    with Image.open(io.BytesIO(face["image"]["bytes"])) as image:
        assert (image.format, image.info) == ("PNG", {})
    said = remarks_of(str(tmp_path / "out"))
    assert said.notes == {"no_references": 4, "no_face": 2, "text_tokens_only": 2}
    assert list(said.stage_s) == ["find_face", "restore_face", "restore_scene"]
    lq = {f"{row['sample_id']}@{row['version']}": row["lq"] for row in read(small_pairs)}
    assert face["image"] != lq["eileen/face.png@0"]


def test_scenes(restore, small_pairs: Path) -> None:
    scenes = small_pairs.parent / "scenes"
    rows = by_name(restore(scenes, blind="identity"))
    assert {row["version"] for row in rows.values()} == {0}
    face = next(row for row in rows.values() if row["sample_id"] == "eileen/face.png")
    assert pixels(face).shape == (160, 160, 3)
    assert face["notes"] == ["no_references"]


def test_stored_landmarks(restore, pairs: Path, small_pairs: Path) -> None:
    """They are of the clean scene, and nothing is looked for."""
    (row,) = restore(pairs, limit=1, blind="identity", detect_on="metadata")
    assert row["notes"] == ["no_references"]
    (row,) = restore(small_pairs, "none", limit=1, blind="identity", detect_on="metadata")
    assert row["notes"] == ["no_references", "no_face", "text_tokens_only"]


def test_an_oracle_needs_pairs(restore, small_pairs: Path, tmp_path: Path) -> None:
    rows = by_name(restore(small_pairs, ref_fr="gt"))
    assert rows["eileen/face.png@1"]["notes"] == ["saw_clean_face"]
    assert rows["space/none.png@1"]["notes"] == ["no_face", "text_tokens_only"]
    with pytest.raises(UsageError, match="looks at clean images, and there are none"):
        restore(small_pairs.parent / "scenes", "other", ref_fr="gt")
    assert not (tmp_path / "other").exists()


def test_another_program_with_references(
    restore, small_pairs: Path, astronaut: np.ndarray, program, tmp_path: Path
) -> None:
    """Of the person alone, whose folder has the label; others are restored without."""
    (tmp_path / "people/eileen").mkdir(parents=True)
    photo = Image.fromarray(np.ascontiguousarray(astronaut[20:220, 120:320][:, ::-1]))
    photo.save(tmp_path / "people/eileen/mirrored.png")
    options = {"ref_fr": program.write(references=True), "face": "largest"}
    rows = by_name(restore(small_pairs, references=tmp_path / "people", **options))
    assert program.runs == [1, 1]  # a version each
    assert rows["eileen/face.png@0"]["notes"] == []
    assert rows["space/none.png@0"]["notes"] == ["no_references", "text_tokens_only"]
    without = by_name(restore(small_pairs, "without"))
    assert rows["space/none.png@0"]["image"] == without["space/none.png@0"]["image"]
    assert rows["eileen/face.png@0"]["image"] != without["eileen/face.png@0"]["image"]


def test_a_scene_that_fails_leaves_the_others(restore, small_pairs: Path, program, read) -> None:
    rows = by_name(restore(small_pairs, ref_fr=program.write("sys.exit(3)")))
    assert {row["sample_id"] for row in rows.values()} == {"space/none.png"}
    assert len(program.runs) >= 2


def test_another_method(restore, small_pairs: Path, tmp_path: Path) -> None:
    rows = by_name(restore(small_pairs, method="bicubic"))
    assert pixels(rows["eileen/face.png@0"]).shape == (160, 160, 3)
    assert remarks_of(str(tmp_path / "out")).notes == {}


def test_one_worker_or_two(small_pairs: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = {"checkpoint": str(checkpoint), "blind": "identity"}
    values = {"shard_rows": 2, "restore.options": options}
    hashes = []
    for name, workers in (("one", Workers("inline")), ("two", Workers("process", 2))):
        overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
        built = build(*load_recipe("restore", overrides))
        plan = engine.plan(built, [str(small_pairs)], str(tmp_path / name))
        assert engine.run(plan, workers).kept == 4
        verdict = verify(str(tmp_path / name))
        assert verdict.problems == []
        hashes.append(verdict.table_hash)
    assert hashes[0] == hashes[1] is not None


def test_what_is_done_is_not_done_again(
    restore, small_pairs: Path, program, checkpoint: Path, tmp_path: Path
) -> None:
    name = program.write()
    first = restore(small_pairs, ref_fr=name)
    runs = len(program.runs)
    assert restore(small_pairs, ref_fr=name) == first  # their times, too
    assert len(program.runs) == runs
    with pytest.raises(UsageError):
        restore(small_pairs, ref_fr=name, guidance_scale=2)


def test_a_dataset_is_not_looked_for_below_its_output(small_pairs: Path) -> None:
    with pytest.raises(UsageError, match="is both source and --out"):
        inputs_beside(str(small_pairs), str(small_pairs))
