"""Several workers do what one does: on CPUs, over gloo, without Ray."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_restorer import tiny as tiny_restorer
from made_restorer import write_photos
from safetensors.torch import load_file

from inscene.errors import UsageError
from inscene.face2scene import ranks
from inscene.training.fadex.data import FadexSource
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.fadex.run import plan as plan_fadex
from inscene.training.fadex.run import train_fadex
from inscene.training.loop import check
from inscene.training.order import Share
from inscene.training.restorer.recipe import RestorerRecipe
from inscene.training.restorer.run import plan as plan_restorer
from inscene.training.restorer.run import train_restorer
from inscene.training.run_folder import RunFolder

pytestmark = [pytest.mark.timeout(300)]

FADEX: dict[str, Any] = {
    "family": "tiny",
    "steps": 6,
    "operators": 3,
    "images": 3,  # nine: one worker has four of them, and a group is cut
    "view_px": 32,
    "momentum": 0.9,
    "queue": 20,
    "device": "cpu",
    "workers": 0,
    "log_every": 1,
    "checkpoint_every": 4,
    "data": {"crop_px": 48},
    "validation": {"every": 6, "images": 2, "operators": 2, "presets": []},
}
RESTORER: dict[str, Any] = {
    "steps": 4,
    "batch": 4,
    "micro_batch": 2,
    "negative_probability": 0.4,
    "pretrain_vae": {"steps": 3, "batch": 4, "crop_px": 32},
    "checkpoint_every": 5,
}
RANKS = """
import json, os, sys
from torch import distributed
from inscene.errors import InsceneError
from inscene.training.fadex import run as fadex
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.restorer import run as restorer
from inscene.training.restorer.recipe import RestorerRecipe

jobs, photos, store = sys.argv[1:]
other = os.fork()  # what is imported serves both
distributed.init_process_group(
    "gloo", init_method=f"file://{store}", rank=int(other == 0), world_size=2
)
for name, (makes, recipe, out) in json.loads(jobs).items():
    try:
        if makes == "fadex":
            fadex.train_fadex(fadex.plan(FadexRecipe.model_validate(recipe), [photos], out))
        else:
            planned = restorer.plan(RestorerRecipe.model_validate(recipe), [photos], out)
            restorer.train_restorer(planned)
        end = "done"
    except InsceneError as error:
        end = type(error).__name__
    os.write(1, f"{name} {end}\\n".encode())
distributed.destroy_process_group()
if other:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))
"""
WILD = {"learning_rate": 1e30, "mapnet_learning_rate": 1e30}
RECIPES: dict[str, FadexRecipe | RestorerRecipe] = {
    "fadex": FadexRecipe.model_validate(FADEX),
    "restorer": tiny_restorer(**RESTORER, losses={"adversarial": 0.0}),
    "resumed": tiny_restorer(**{**RESTORER, "pretrain_vae": {"steps": 0}, "checkpoint_every": 2}),
    "wild": tiny_restorer(**{**RESTORER, "generator": WILD, "pretrain_vae": {"steps": 0}}),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("ranks") / "photos", 9)


@dataclass(frozen=True)
class Two:
    """What two workers made of each recipe."""

    folder: Path
    ends: dict[str, list[str]]


@pytest.fixture(scope="module")
def two(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Two:
    """All in one pair of processes: it is importing torch and diffusers that takes time."""
    folder = tmp_path_factory.mktemp("two")
    resumed = RECIPES["resumed"].model_copy(update={"steps": 2})
    alone(resumed, photos, folder / "resumed")
    jobs = {
        name: (one.makes, one.model_dump(mode="json"), str(folder / name))
        for name, one in RECIPES.items()
    }
    done = subprocess.run(
        [sys.executable, "-c", RANKS, json.dumps(jobs), str(photos), str(folder / "store")],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ends: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, end = line.split()
        ends.setdefault(name, []).append(end)
    return Two(folder, ends)


def alone(recipe: FadexRecipe | RestorerRecipe, photos: Path, out: Path) -> Path:
    if isinstance(recipe, FadexRecipe):
        train_fadex(plan_fadex(recipe, [str(photos)], str(out)))
    else:
        train_restorer(plan_restorer(recipe, [str(photos)], str(out)))
    return out


def logged(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("images_per_s", None)
        line.pop("data_wait", None)
    return [line for line in lines if line["kind"] in ("train", "validation")]


def assert_close(ours: Sequence[Any], theirs: Sequence[Any], relative: float) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if isinstance(value, float):
                assert math.isclose(value, other[name], rel_tol=relative, abs_tol=relative), (
                    one["step"],
                    name,
                    value,
                    other[name],
                )


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    files = sorted((out / "model").rglob("*.safetensors"))
    return {f"{file.name} {key}": one for file in files for key, one in load_file(file).items()}


def test_fadex_of_two_workers_is_that_of_one(two: Two, photos: Path, tmp_path: Path) -> None:
    out = alone(RECIPES["fadex"], photos, tmp_path / "run")
    assert two.ends["fadex"] == 2 * ["done"]
    assert_close(logged(two.folder / "fadex"), logged(out), 1e-4)
    ours, theirs = weights_of(two.folder / "fadex"), weights_of(out)
    assert ours.keys() == theirs.keys()
    # Adam's first steps are as large for gradients of 1e-9 as for others.
    apart = torch.cat([(ours[name] - theirs[name]).double().flatten() for name in ours])
    assert apart.square().mean().sqrt() < 2e-4


def test_the_restorer_of_two_workers_is_that_of_one(two: Two, photos: Path, tmp_path: Path) -> None:
    """The VAE, reconstruction and negatives: the very samples and draws."""
    out = alone(RECIPES["restorer"], photos, tmp_path / "run")
    assert two.ends["restorer"] == 2 * ["done"]
    assert_close(logged(two.folder / "restorer"), logged(out), 1e-5)


def test_two_workers_go_on_with_what_one_began(two: Two, photos: Path, tmp_path: Path) -> None:
    """With the discriminator."""
    out = alone(RECIPES["resumed"], photos, tmp_path / "run")
    assert two.ends["resumed"] == 2 * ["done"]
    ours, theirs = (
        [line for line in logged(one) if line["kind"] == "train"]
        for one in (two.folder / "resumed", out)
    )
    # Spectral norms take a step of theirs in each pass, of which each worker makes fewer.
    assert_close(ours, theirs, 2e-3)


@pytest.mark.parametrize(("name", "step", "relative"), [("fadex", 4, 1e-4), ("restorer", 5, 1e-5)])
def test_one_worker_goes_on_with_what_two_began(
    two: Two, photos: Path, tmp_path: Path, name: str, step: int, relative: float
) -> None:
    """From the checkpoint that a kill in one of the last steps would have left."""
    out, whole = tmp_path / "run", two.folder / name
    shutil.copytree(whole, out)
    shutil.rmtree(out / "model")
    for checkpoint in (out / "checkpoints").iterdir():
        if checkpoint.name != f"step-{step:08d}":
            shutil.rmtree(checkpoint)
    alone(RECIPES[name], photos, out)
    assert_close(logged(out), logged(whole), relative)
    ours, theirs = weights_of(out), weights_of(whole)
    assert ours.keys() == theirs.keys()
    apart = torch.cat([(ours[key] - theirs[key]).double().flatten() for key in ours])
    assert apart.square().mean().sqrt() < 2e-4


def test_numbers_that_are_not_finite_stop_all(two: Two) -> None:
    assert two.ends["wild"] == 2 * ["DivergedError"]
    for folder in ("bad_batch", "bad_batch-1"):
        samples = json.loads((two.folder / "wild" / folder / "samples.json").read_text())
        assert len(samples) == 2


def test_a_folder_that_the_first_worker_has_begun_is_not_foreign_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's files appear at any time."""
    run = RunFolder(tmp_path)
    (tmp_path / "log.jsonl").touch()
    with pytest.raises(UsageError, match="no training wrote"):
        check(run, {})
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    check(run, {})


@given(count=st.integers(0, 40), ranks=st.integers(1, 7), unit=st.integers(1, 5))
@settings(max_examples=50)
def test_shares_are_the_whole(count: int, ranks: int, unit: int) -> None:
    shares = [Share(rank, ranks) for rank in range(ranks)]
    parts = [one.of(range(count), unit) for one in shares]
    assert [index for part in parts for index in part] == list(range(count))
    assert all(
        one.start(count, unit) % unit == 0 or not part
        for one, part in zip(shares, parts, strict=True)
    )
    blocks = [-(-len(part) // unit) for part in parts]
    assert max(blocks) - min(blocks) <= 1


def test_workers_see_the_samples_of_one(photos: Path, tmp_path: Path) -> None:
    planned = plan_fadex(FadexRecipe.model_validate(FADEX), [str(photos)], str(tmp_path))
    source = FadexSource(planned.samples, planned.recipe)
    for step in (0, 5):
        whole = source.batch(step)
        parts = [source.batch(step, Share(rank, 2)) for rank in range(2)]
        assert parts[0].samples + parts[1].samples == whole.samples
        for name, tensor in whole.tensors().items():
            both = torch.cat([one.tensors()[name] for one in parts])
            assert np.array_equal(tensor, both)
