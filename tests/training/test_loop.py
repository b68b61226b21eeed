"""The loop, with a training that is small enough to be understood: what ends it, and how it goes
on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import made_training
import pytest
import torch
from made_training import FINGERPRINT, PACE, Toy, train_toy
from safetensors.torch import load_file

from inscene.errors import MachineError, RecipeError, UsageError
from inscene.training.loop import DivergedError, Pace, train
from inscene.training.run_folder import RunFolder

TIMES = ("images_per_s", "data_wait")


def log_of(out: Path) -> list[dict[str, Any]]:
    """Without what the machine decides."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def point_of(out: Path) -> torch.Tensor:
    return load_file(out / "model" / "point.safetensors")["point"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done = train_toy(Toy(), out)
    assert (done.done, done.stopped) == (12, False)
    return out


def test_what_a_run_leaves(whole: Path) -> None:
    steps = sorted(path.name for path in (whole / "checkpoints").iterdir())
    assert steps == ["step-00000006", "step-00000009", "step-00000012"]  # 6 is the best
    assert json.loads((whole / "best.json").read_text())["step"] == 6
    lines = log_of(whole)
    assert [(one["kind"], one["step"]) for one in lines] == [
        ("validation", 0), ("train", 4), ("validation", 6), ("train", 8), ("train", 12),
        ("validation", 12),
    ]  # fmt: skip
    assert all("never" not in one for one in lines)
    first = json.loads((whole / "log.jsonl").read_text().splitlines()[1])
    assert set(TIMES) < set(first)
    assert 0 <= first["data_wait"] <= 1


def test_tensorboard_has_the_same(whole: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(whole / "tensorboard")).Reload()
    assert {"train/loss", "validation/worth"} <= set(events.Tags()["scalars"])
    losses = {one.step: one.value for one in events.Scalars("train/loss")}
    logged = {one["step"]: one["loss"] for one in log_of(whole) if one["kind"] == "train"}
    assert losses == pytest.approx(logged)


def test_after_kill_9_it_is_the_same_run(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    script = [sys.executable, made_training.__file__, str(out), "7"]
    killed = subprocess.run(script, capture_output=True, timeout=100, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    toy = Toy()
    done = train_toy(toy, out)
    assert toy.seen == list(range(6, 12))  # the checkpoint was of six steps
    assert done.done == 12
    assert torch.equal(point_of(out), point_of(whole))
    assert log_of(out) == log_of(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_finishes_the_step(
    whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    toy = Toy({4: number})
    done = train_toy(toy, tmp_path / "run")
    assert (done.done, done.stopped) == (5, True)
    assert toy.seen == list(range(5))
    assert done.checkpoint.endswith("step-00000005")
    assert not (tmp_path / "run" / "model").exists()
    assert signal.getsignal(number) == before
    train_toy(Toy(), tmp_path / "run")
    assert torch.equal(point_of(tmp_path / "run"), point_of(whole))
    assert log_of(tmp_path / "run") == log_of(whole)


def test_a_finished_run_does_nothing_again(whole: Path) -> None:
    before = point_of(whole)
    toy = Toy()
    done = train_toy(toy, whole)
    assert (done.done, toy.seen) == (12, [])
    assert done.validated == {"worth": -6.0}
    assert torch.equal(point_of(whole), before)


def test_a_loss_that_is_none_ends_it_with_its_batch(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(DivergedError, match="loss is nan") as caught:
        train_toy(Toy({4: "nan"}), out)
    assert caught.value.exit_code == 1
    assert caught.value.where == f"step 4 of {out}"
    assert torch.equal(
        load_file(out / "bad_batch" / "batch.safetensors")["batch"], torch.full((3,), 4.0)
    )
    assert log_of(out)[-1]["kind"] == "diverged"
    assert RunFolder(out).checkpoints()[-1][0] == 3


def test_a_full_disk_leaves_the_checkpoint_before(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(MachineError, match="the disk is full") as caught:
        train_toy(Toy({7: "full"}), out)
    assert "step 6 is whole" in str(caught.value)
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == [
        "step-00000003", "step-00000006",
    ]  # fmt: skip
    train_toy(Toy(), out)
    assert torch.equal(point_of(out), point_of(whole))


def test_workers_make_the_same_run(whole: Path, tmp_path: Path) -> None:
    train_toy(Toy(), tmp_path / "run", workers=2)
    assert torch.equal(point_of(tmp_path / "run"), point_of(whole))


def test_a_photo_that_cannot_be_used_ends_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="photo 5: cannot be read"):
        train_toy(Toy(fails_at=5), tmp_path / "run")
    assert RunFolder(tmp_path / "run").checkpoints()[-1][0] == 3


def test_another_run_is_not_gone_on_with(whole: Path) -> None:
    other = {**FINGERPRINT, "recipe": {"rate": 0.2, "name": "toy"}}
    with pytest.raises(RecipeError, match=r"recipe\.rate"):
        train(Toy(), RunFolder(whole), PACE, other)


def test_looking_more_often_changes_nothing(whole: Path, tmp_path: Path) -> None:
    pace = Pace(12, log_every=1, validate_every=2, checkpoint_every=1)
    train_toy(Toy(), tmp_path / "run", pace=pace)
    assert torch.equal(point_of(tmp_path / "run"), point_of(whole))
