"""Inputs that know more than their file: the jobs of a generator."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_photos import synthetic_photo

from inscene.dataset.sources import image_input, read_inputs
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import SampleError, UsageError
from inscene.recipe import load_recipe


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "people" / "0.png"
    path.parent.mkdir()
    synthetic_photo(0, 40, 30).save(path)
    return path


def test_columns_begin_the_row(photo: Path) -> None:
    entry = image_input("a", "train", photo, {"prompt": "a walk", "source": "elsewhere"})
    ((_, columns),) = read_inputs([entry])
    assert not isinstance(columns, SampleError)
    assert (columns["prompt"], columns["source"]) == ("a walk", "elsewhere")
    assert columns["image"]["bytes"] == photo.read_bytes()


def test_columns_are_part_of_the_state(photo: Path) -> None:
    plain, one, other = (
        image_input("a", None, photo, columns)
        for columns in ({}, {"prompt": "a", "repeat": 0}, {"prompt": "a", "repeat": 1})
    )
    assert len({plain.state, one.state, other.state}) == 3
    assert one == image_input("a", None, photo, {"repeat": 0, "prompt": "a"})


def test_a_file_that_is_not_there_is_an_input_with_a_reason(tmp_path: Path) -> None:
    ((_, error),) = read_inputs([image_input("a", None, tmp_path / "gone.png", {"prompt": "x"})])
    assert isinstance(error, SampleError)
    assert error.reason == "file_missing"


def test_a_run_of_such_inputs(photo: Path, tmp_path: Path) -> None:
    built = build(*load_recipe("photos"))
    inputs = [
        image_input(name, "validation", photo, {"identity": name, "prompt": f"of {name}"})
        for name in ("b", "c", "a")
    ]
    plan = engine.plan_inputs(built, inputs, str(tmp_path / "out"), limit=2)
    assert [shard.inputs for shard, _ in plan.shards] == [("a", "b")]
    assert engine.run(plan).kept == 2
    with pytest.raises(UsageError, match="'a' occurs twice"):
        engine.plan_inputs(built, [*inputs, inputs[-1]], str(tmp_path / "other"))
    changed = [image_input(name, "validation", photo, {"prompt": "?"}) for name in ("a", "b")]
    with pytest.raises(UsageError, match="changed since"):
        engine.run(engine.plan_inputs(built, changed, str(tmp_path / "out")))
