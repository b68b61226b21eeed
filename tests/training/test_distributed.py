"""``--workers 2``: the commands over Ray Train, through Ctrl-C and mistakes.

Each training that is begun takes Ray some 20 s on two processors, nearly all of it imports."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_restorer import write_photos
from typer.testing import CliRunner, Result

from inscene.cli.app import app
from inscene.errors import ExitCode, MachineError, RecipeError, UsageError
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.fadex.run import plan, train_fadex_with
from inscene.training.loop import DivergedError

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore"),  # Ray's own, from many places
    pytest.mark.timeout(300),
]
FADEX = [
    "family=tiny", "operators=3", "images=3", "view_px=32", "queue=20", "data.crop_px=48",
    "validation.images=2", "validation.operators=2", "validation.presets=[]", "device=cpu",
    "workers=0", "log_every=1",
]  # fmt: skip
RESTORER = [
    "model.family=tiny", "model.fadex=untrained", "batch=4", "micro_batch=2", "data.crop_px=32",
    "data.scene_px=64", "data.faces.stand_in_px=[32,36]", "validation.crop_px=32",
    "validation.images=2", "losses.adversarial=0", "generator.learning_rate=0.001",
    "pretrain_vae.steps=1", "pretrain_vae.batch=4", "pretrain_vae.crop_px=32", "device=cpu",
    "loader_workers=0", "log_every=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray of two processors on this machine."""
    ray = pytest.importorskip("ray", reason="more than one worker needs Ray (extra: cluster)")
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), 9)


def command(makes: str, photos: Path, out: Path, *arguments: str) -> Result:
    sets = FADEX if makes == "fadex" else RESTORER
    given = [part for one in sets for part in ("--set", one)]
    return CliRunner().invoke(
        app, ["train", makes, str(photos), "--out", str(out), *given, *arguments]
    )


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "train"]


def test_two_workers_and_ctrl_c_and_one_goes_on(cluster: Any, photos: Path, tmp_path: Path) -> None:
    """The restorer, from its VAE on, as one worker trains it."""
    one, two = tmp_path / "one", tmp_path / "two"

    def press() -> None:
        while not (two / "log.jsonl").exists() or len(losses(two)) < 3:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    done = command("restorer", photos, two, "--set", "steps=600", "--json", "--workers", "2")
    pressing.join()
    assert done.exit_code == 0, done.output + repr(done.exception)
    shown = json.loads(done.stdout)
    assert shown["stopped"]
    assert 3 <= shown["done"] < 600
    assert Path(shown["checkpoint"]).name == f"step-{shown['done']:08d}"
    assert not (two / ".stop").exists()
    assert not (two / "model").exists()

    for out in (two, one):
        done = command("restorer", photos, out, "--set", f"steps={shown['done']}", "--json")
        assert done.exit_code == 0, done.output
        last = json.loads(done.stdout)
        assert (last["done"], last["stopped"]) == (shown["done"] + 1, False)
    assert losses(two) == pytest.approx(losses(one), rel=1e-3)
    assert (two / "model" / "unet").is_dir()


def test_an_error_is_that_of_the_worker(cluster: Any, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    wild = ("--set", "optimisation.learning_rate=1e30", "--set", "steps=8", "--workers", "2")
    done = command("fadex", photos, out, *wild)
    assert isinstance(done.exception, DivergedError), done.output
    assert done.exception.exit_code == ExitCode.PARTIAL
    assert f"of {out}" in str(done.exception)
    assert losses(out)  # of the steps before
    assert (out / "bad_batch" / "batch.safetensors").is_file()
    assert (out / "bad_batch-1" / "batch.safetensors").is_file()


def test_more_workers_than_processors(cluster: Any, photos: Path, tmp_path: Path) -> None:
    done = command("fadex", photos, tmp_path / "run", "--workers", "3")
    assert isinstance(done.exception, MachineError)
    assert "3 workers need 3 free CPUs" in str(done.exception)


def test_more_workers_than_images(photos: Path, tmp_path: Path) -> None:
    done = command("fadex", photos, tmp_path / "run", "--workers", "5")
    assert isinstance(done.exception, RecipeError)
    assert "9 images a step are too few for 5 workers" in str(done.exception)


def test_one_gpu_cannot_be_named_for_two(photos: Path, tmp_path: Path) -> None:
    done = command("fadex", photos, tmp_path / "run", "--workers", "2", "--set", "device=cuda:1")
    assert isinstance(done.exception, UsageError)
    assert "a GPU of its own" in str(done.exception)


def test_without_ray(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    recipe = FadexRecipe.model_validate({"family": "tiny", "validation": {"presets": []}})
    with pytest.raises(MachineError, match=r"2 workers needs Ray.*inscene\[cluster\]"):
        train_fadex_with(plan(recipe, [str(photos)], str(tmp_path / "run")), 2)
