"""Inputs that kill workers, and bugs in steps: the rest of the run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made import make

from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.errors import MachineError


def refused(out: Path) -> list[tuple[str, str, str]]:
    table = pq.read_table(out / "drops").to_pylist()
    return [(row["sample_id"], row["step"], row["reason"]) for row in table]


def test_a_file_that_kills_workers_is_quarantined(write_recipe, poisoned_photos, tmp_path) -> None:
    recipe = write_recipe("steps_for_tests:Poison", batch_rows=2)
    out = tmp_path / "out"
    summary = make(recipe, poisoned_photos, out, engine.Workers("process", 2))
    assert summary.kept == 9
    assert summary.errors == {"quarantine/killed_worker_twice": 1}
    assert refused(out) == [("poison.png", "quarantine", "killed_worker_twice")]
    assert verify(str(out)).problems == []
    assert json.loads((out / "run/quarantine.json").read_text()) == {"poison.png": 2}


def test_a_bystander_is_acquitted(write_recipe, poisoned_photos, tmp_path) -> None:
    """One death, as from the system's out-of-memory killer, costs no sample."""
    died = tmp_path / "died"
    recipe = write_recipe({"steps_for_tests:DieOnce": {"name": "3.png", "flag": str(died)}})
    out = tmp_path / "out"
    summary = make(recipe, poisoned_photos, out, engine.Workers("process", 1))
    assert died.exists()
    assert (summary.kept, summary.errors) == (10, {})
    assert json.loads((out / "run/quarantine.json").read_text()) == {}


def test_inline_after_a_death_uses_a_worker_process(
    write_recipe, poisoned_photos, tmp_path, inscene
) -> None:
    recipe = write_recipe("steps_for_tests:Poison")
    arguments = ["build", "gallery", poisoned_photos, "--recipe", recipe, "--out", tmp_path / "out"]
    died = inscene(*arguments, "--executor", "inline", code=None)
    assert died.returncode < 0
    again = inscene(*arguments, "--executor", "inline", code=1)
    assert "quarantined" in again.stderr
    assert refused(tmp_path / "out") == [("poison.png", "quarantine", "killed_worker_twice")]


def test_a_bug_in_a_step_costs_its_own_row_only(write_recipe, poisoned_photos, tmp_path) -> None:
    recipe = write_recipe({"steps_for_tests:Crash": {"name": "poison"}}, batch_rows=8)
    out = tmp_path / "out"
    summary = make(recipe, poisoned_photos, out, engine.Workers("inline"))
    assert summary.kept == 9
    (row,) = pq.read_table(out / "drops").to_pylist()
    assert row["sample_id"] == "poison.png"
    assert row["reason"] == "steps_for_tests:Crash_crashed"
    assert "ZeroDivisionError: a bug in a step (steps_for_tests.py:" in row["detail"]


def test_workers_that_cannot_start_end_the_run(write_recipe, poisoned_photos, tmp_path) -> None:
    recipe = write_recipe("steps_for_tests:DieAtSetup")
    with pytest.raises(MachineError, match="die before they begin"):
        make(recipe, poisoned_photos, tmp_path / "out", engine.Workers("process", 1))


def test_scores_and_thumbnails_of_drops_are_kept(write_recipe, poisoned_photos, tmp_path) -> None:
    recipe = write_recipe({"steps_for_tests:DropNarrow": {"min_width_px": 1000}})
    out = tmp_path / "out"
    summary = make(recipe, poisoned_photos, out, engine.Workers("inline"))
    assert summary.dropped == {"steps_for_tests:DropNarrow/too_narrow": 10}
    for row in pq.read_table(out / "drops").to_pylist():
        assert row["scores"]["laplacian_var"] == 24.0
        assert row["thumbnail"]["bytes"][:2] == b"\xff\xd8"
