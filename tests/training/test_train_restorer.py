"""``inscene train restorer`` as a user has it: from FaDeX to a restored photograph; killed and
resumed; refused."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_restorer import tiny, write_photos
from PIL import Image
from typer.testing import CliRunner, Result

from inscene.cli.app import app
from inscene.errors import RecipeError, UsageError
from inscene.face2scene.fadex_folder import save_fadex
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.training.loop import DivergedError
from inscene.training.restorer.recipe import RestorerRecipe
from inscene.training.restorer.run import plan, train_restorer
from inscene.training.restorer.task import RestorerTask

SMALL = [
    "data.crop_px=32",
    "data.scene_px=64",
    "data.faces.stand_in_px=[32,36]",
    "validation.crop_px=32",
    "validation.images=2",
    "critic_hidden=8",
    "device=cpu",
    "loader_workers=0",
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("run") / "photos", 6)


def command(*arguments: object, sets: list[str] | None = None) -> Result:
    given = [str(one) for one in arguments]
    for override in sets or []:
        given += ["--set", override]
    return CliRunner().invoke(app, given)


def opened(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def lines(run: Path, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


def test_from_photographs_to_a_restored_one(photos: Path, tmp_path: Path) -> None:
    """FaDeX, the VAE, the restorer, and what it makes of a photograph."""
    fadex = [
        "family=tiny", "steps=3", "operators=2", "images=2", "view_px=32", "queue=8",
        "data.crop_px=40", "validation.images=2", "validation.operators=2",
        "validation.presets=[]", "device=cpu", "workers=0",
    ]  # fmt: skip
    done = command("train", "fadex", photos, "--out", tmp_path / "fadex", sets=fadex)
    assert done.exit_code == 0, done.output + repr(done.exception)
    recipe = [
        *SMALL, "model.family=tiny", "steps=4", "batch=2", "micro_batch=2", "log_every=2",
        "pretrain_vae.steps=4", "pretrain_vae.batch=2", "pretrain_vae.crop_px=32",
        "validation.every=4", "generator.learning_rate=0.001",
    ]  # fmt: skip
    run = tmp_path / "run"
    arguments = ("train", "restorer", photos, "--out", run, "--fadex", tmp_path / "fadex" / "model")
    done = command(*arguments, "--json", sets=recipe)
    assert done.exit_code == 0, done.output + repr(done.exception)
    shown = json.loads(done.stdout)
    assert (shown["done"], shown["stopped"]) == (8, False)
    assert shown["validated"].keys() >= {"psnr", "psnr_bicubic", "psnr_gain", "ssim_gain"}
    assert all(math.isfinite(line["loss"]) for line in lines(run, "train"))
    assert [line["step"] for line in lines(run, "train")] == [2, 4, 6, 8]
    assert "vae_psnr" in lines(run, "validation")[0]
    assert opened(run / "samples" / "step-00000008.png").shape == (32, 3 * 34 - 2, 3)

    model = Face2ScenePipeline.from_pretrained(run / "model")
    assert model.config.scaling_factor != 1
    out = ("restore", photos / "00.png", "--checkpoint", run / "model", "--out", tmp_path / "out")
    done = command(*out)
    assert done.exit_code == 0, done.output + repr(done.exception)
    restored = opened(tmp_path / "out" / "00.png")
    assert restored.shape == (72, 80, 3)
    assert restored.std() > 1


KILLED = """
import os, signal, sys
from made_restorer import tiny
from inscene.training.restorer.run import plan, train_restorer
from inscene.training.restorer.task import RestorerTask

photos, out = sys.argv[1:]
step = RestorerTask.step

def deadly(self, batch, number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, number)

RestorerTask.step = deadly
train_restorer(plan(tiny(ema=0.9, checkpoint_every=2), [photos], out))
"""


def test_a_killed_run_goes_on_as_if_nothing_had_been(photos: Path, tmp_path: Path) -> None:
    recipe = tiny(ema=0.9, checkpoint_every=2)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    script = tmp_path / "killed.py"
    tests = Path(__file__).parent.parent
    paths = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n"
    script.write_text(paths + KILLED)
    ended = subprocess.run(
        [sys.executable, str(script), str(photos), str(killed)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert [one.name for one in (killed / "checkpoints").iterdir()] == ["step-00000002"]
    for out in (killed, whole):
        assert train_restorer(plan(recipe, [str(photos)], str(out))).done == 4
    file = "checkpoints/step-00000004/state/state.safetensors"
    assert (killed / file).read_bytes() == (whole / file).read_bytes()
    for name in ("unet", "mapnet", "vae"):
        weights = f"model/{name}/diffusion_pytorch_model.safetensors"
        assert (killed / weights).read_bytes() == (whole / weights).read_bytes()
    timeless = [
        [{k: v for k, v in line.items() if k not in ("images_per_s", "data_wait")} for line in all_]
        for all_ in (lines(killed, "train"), lines(whole, "train"))
    ]
    assert timeless[0] == timeless[1]
    # Another step to go: the recipe may say more of them.
    longer = tiny(ema=0.9, checkpoint_every=2, steps=5)
    assert train_restorer(plan(longer, [str(photos)], str(whole))).done == 5
    with pytest.raises(RecipeError, match=r"another recipe\.seed: 0 there and 1 now"):
        train_restorer(plan(tiny(ema=0.9, seed=1), [str(photos)], str(whole)))


def test_a_loss_that_is_none_stops_with_its_batch(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = RestorerTask.step

    def poisoned(self: RestorerTask, batch: Any, number: int) -> Any:
        if number == 1:
            for one in self.pipeline.restorer.unet.parameters():
                one.data.fill_(math.nan)
        return step(self, batch, number)

    monkeypatch.setattr(RestorerTask, "step", poisoned)
    with pytest.raises(DivergedError, match="bad_batch") as caught:
        train_restorer(plan(tiny(), [str(photos)], str(tmp_path / "run")))
    assert caught.value.exit_code == 1
    saved = {one.name for one in (tmp_path / "run" / "bad_batch").iterdir()}
    assert {"samples.json", "000.lq.png", "001.face_hq.png"} <= saved


def test_the_plan_says_what_would_be_done(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    sets = [*SMALL, "model.family=tiny", "steps=10", "batch=5"]
    done = command("train", "restorer", photos, "--out", out, "--plan", "--json", sets=sets)
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["train"], facts["validation"], facts["tokens"]) == (5, 1, 21)
    assert (facts["steps"], facts["epochs"], facts["vae_steps"]) == (10, 10, 0)
    assert not out.exists()


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["model.family=tiny"], "none is named"),
        (["model.family=tiny", "data.unusabel=skip"], "unusable"),
        (["model.family=tiny", "model.fadex=nowhere"], "there is no such folder"),
        (["model.family=tiny", "device=cuda:9"], "no cuda:9"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    sets: list[str], words: str, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = command("train", "restorer", photos, "--out", out, sets=[*SMALL, *sets])
    assert done.exit_code != 0
    assert words in str(done.exception)
    assert not out.exists()


def test_another_fadex_is_another_run(photos: Path, tmp_path: Path) -> None:
    places = []
    for seed in (1, 2):
        folder = tmp_path / f"fadex{seed}"
        folder.mkdir()
        save_fadex(Face2ScenePipeline.from_family("tiny", seed=seed).fadex, "tiny", folder)
        places.append(str(folder))

    def fingerprint(place: str) -> dict[str, Any]:
        recipe: RestorerRecipe = tiny(model={"fadex": place})
        return plan(recipe, [str(photos)], str(tmp_path / "run")).fingerprint()

    one, other = map(fingerprint, places)
    assert one["recipe"] == other["recipe"]
    assert one["checkpoints"] != other["checkpoints"]
    moved = tmp_path / "moved"
    Path(places[0]).rename(moved)
    assert fingerprint(str(moved)) == one


def test_no_images_no_run(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no images"):
        plan(tiny(), [str(tmp_path / "empty")], str(tmp_path / "run"))
