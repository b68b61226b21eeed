"""The folder of a run: what a kill leaves, what is kept, who may write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inscene.errors import BusyError, MachineError, RecipeError, UsageError
from inscene.training.run_folder import Judged, RunFolder


def fill(folder: Path) -> None:
    (folder / "inside").mkdir()
    (folder / "inside" / "file").write_text("whole")


def test_another_recipe_is_refused_by_its_key(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    facts = {"recipe": {"rate": 0.1, "sizes": (1, 2)}, "data": "a"}
    run.begin(facts)
    run.begin(facts)
    with pytest.raises(RecipeError, match=r"another recipe\.rate: 0\.1 there and 0\.2 now"):
        run.begin({**facts, "recipe": {"rate": 0.2, "sizes": (1, 2)}})
    with pytest.raises(RecipeError, match="another data: 'a' there and None now"):
        run.check({"recipe": facts["recipe"]})
    (run / "run.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        run.check(facts)


def test_other_peoples_folders_and_urls_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UsageError, match=r"photo\.jpg"):
        RunFolder(tmp_path).begin({})
    with pytest.raises(UsageError, match="local folder"):
        RunFolder("s3://bucket/run")


def test_checkpoints_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)

    def break_off(folder: Path) -> None:
        fill(folder)
        raise KeyboardInterrupt

    run.save_checkpoint(3, fill)
    with pytest.raises(KeyboardInterrupt):
        run.save_checkpoint(6, break_off)
    latest = run.latest()
    assert latest is not None
    assert latest[0] == 3
    assert (latest[1] / "inside" / "file").read_text() == "whole"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]


def test_what_a_kill_left_is_swept(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.save_checkpoint(3, fill)
    torn = tmp_path / "checkpoints" / ".step-00000006.tmp-01234567"
    torn.mkdir()
    fill(torn)
    assert [step for step, _ in run.checkpoints()] == [3]
    with run.held():
        assert not torn.exists()
    assert [step for step, _ in run.checkpoints()] == [3]


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, keep=2)
    for step, value in enumerate([1.0, 5.0, 2.0, 5.0, float("nan"), 3.0]):
        run.save_checkpoint(step, fill, Judged("gap", value, higher=True))
    assert [step for step, _ in run.checkpoints()] == [1, 4, 5]
    assert run.best() == {"step": 1, "metric": "gap", "value": 5.0}
    run.save_checkpoint(6, fill)
    assert [step for step, _ in run.checkpoints()] == [1, 5, 6]


def test_less_may_be_better(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, keep=1)
    for step, value in enumerate([3.0, 1.0, 2.0]):
        run.save_checkpoint(step, fill, Judged("loss", value, higher=False))
    assert [step for step, _ in run.checkpoints()] == [1, 2]


def test_the_log_forgets_what_is_done_again(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log({"step": 10, "loss": 0.5, "none": float("nan")})
    run.log({"step": 20, "loss": 0.4})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 30, "lo')  # torn by a kill
    assert [line["step"] for line in run.lines()] == [10, 20]
    run.forget_after(10)
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [
        {"step": 10, "loss": 0.5, "none": None}
    ]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with RunFolder(tmp_path).held(), pytest.raises(BusyError, match="is being written by process"):
        RunFolder(tmp_path).held().__enter__()


def test_a_full_disk_says_what_is_safe(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.save_checkpoint(3, fill)
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(MachineError, match="the disk is full") as caught:
        run.log({"step": 4})
    assert "step 3 is whole" in str(caught.value)
    assert caught.value.exit_code == 4
    assert "resumes" in caught.value.next_step
