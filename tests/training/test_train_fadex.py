"""``inscene train fadex``: on stored pairs, faces and photographs, through kills and mistakes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from made_restorer import cell, photo, write_photos, write_table
from typer.testing import CliRunner

from inscene.cli.app import app
from inscene.degrade import degrade, load_operator
from inscene.errors import RecipeError, UsageError, VerificationError
from inscene.face2scene.fadex_folder import load_fadex
from inscene.restore.pairing import at_scene_size
from inscene.training import recipe_file
from inscene.training.fadex.data import FadexSource
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.fadex.run import plan, train_fadex
from inscene.training.fadex.samples import list_samples
from inscene.training.fadex.task import FadexTask
from inscene.training.state import load_state

PRESETS = ("d1", "d2", "d3", "d4")
SIDE = 64
TINY: dict[str, Any] = {
    "family": "tiny",
    "steps": 8,
    "operators": 4,
    "images": 3,
    "view_px": 32,
    "momentum": 0.9,
    "queue": 50,
    "device": "cpu",
    "workers": 0,
    "log_every": 2,
    "checkpoint_every": 4,
    "data": {"crop_px": 48},
    "validation": {"every": 8, "images": 3, "operators": 3, "presets": []},
}


def tiny(**changes: Any) -> FadexRecipe:
    """``data={"crop_px": 40}`` changes that one key."""
    merged = {
        name: {**TINY.get(name, {}), **value} if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return FadexRecipe.model_validate({**TINY, **merged})


def lq_of(clean: np.ndarray, preset: str, seed: int) -> np.ndarray:
    return degrade(clean, load_operator(preset), seed)


def row(content: int, version: int, **columns: Any) -> dict[str, Any]:
    named = {"sample_id": f"{content}.png", "version": version, "operator_id": PRESETS[version]}
    return {**named, "split": "train", "provenance": "{}", **columns}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve images, each under the same four operators."""
    rows = []
    for content in range(12):
        clean = photo(content, SIDE)
        for version, preset in enumerate(PRESETS):
            lq = cell(lq_of(clean, preset, content))
            rows.append(row(content, version, lq=lq, hq=cell(clean), width=SIDE, height=SIDE))
    folder = tmp_path_factory.mktemp("pairs")
    write_table("pairs", folder / "data" / "train.parquet", rows)
    return str(folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_photos(tmp_path_factory.mktemp("photos"), 9))


def scalars_of(out: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def test_it_learns_to_tell_operators_apart(pairs: str, tmp_path: Path) -> None:
    """Those of images that it has never seen."""
    out = tmp_path / "run"
    recipe = tiny(
        steps=60,
        images=4,
        view_px=48,
        queue=24,
        optimisation={"temperature": 0.2},
        data={"crop_px": SIDE, "round_trip_probability": 0.0},
        validation={"presets": PRESETS, "every": 60},
    )
    done = train_fadex(plan(recipe, [pairs], str(out)))
    first, last = scalars_of(out, "validation")
    assert last["preset_retrieval"] >= first["preset_retrieval"] + 0.25
    assert last["preset_gap"] > first["preset_gap"] + 0.3
    assert {"positive", "negative", "retrieval"} <= set(last)
    train = scalars_of(out, "train")
    assert {"loss", "positive", "negative", "learning_rate", "gradient"} <= set(train[0])
    losses = [line["loss"] for line in train]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert done.validated["preset_retrieval"] == last["preset_retrieval"]

    pictures = sorted(path.name for path in (out / "samples").iterdir())
    assert pictures == [
        f"cosines-{step:08d}.{kind}" for step in (0, 60) for kind in ("json", "png")
    ]
    matrices = json.loads((out / "samples" / "cosines-00000060.json").read_text())
    assert np.shape(matrices["image_pairs"]) == (4, 2, 2)
    assert np.mean(matrices["per_preset"]) == pytest.approx(last["preset_positive"])

    saved = load_fadex(out)
    assert saved.family == "tiny"
    assert not saved.fadex.training
    state = load_state(out / "checkpoints" / "step-00000060" / "state")["task"]
    for name, tensor in saved.fadex.state_dict().items():
        assert torch.equal(tensor, state["encoder"][name])


KILLED = """
import json, os, signal, sys
from inscene.face2scene.stage_one import StageOne
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.fadex.run import plan, train_fadex

steps, step = [], StageOne.step
def dies(self, batch):
    steps.append(1)
    if len(steps) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch)
StageOne.step = dies
recipe = FadexRecipe.model_validate(json.loads(sys.argv[1]))
train_fadex(plan(recipe, [sys.argv[2]], sys.argv[3]))
"""


def test_after_kill_9_it_is_the_same_run_bit_for_bit(photos: str, tmp_path: Path) -> None:
    recipe = tiny(start=None)
    whole, out = tmp_path / "whole", tmp_path / "killed"
    train_fadex(plan(recipe, [photos], str(whole)))
    script = [sys.executable, "-c", KILLED, recipe.model_dump_json(), photos, str(out)]
    killed = subprocess.run(script, capture_output=True, timeout=110, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-00000004"]
    train_fadex(plan(recipe, [photos], str(out)))
    for file in ("state/state.safetensors", "model/fadex/diffusion_pytorch_model.safetensors"):
        name = f"checkpoints/step-00000008/{file}"
        assert (out / name).read_bytes() == (whole / name).read_bytes(), file
    for kind in ("train", "validation"):
        one, other = scalars_of(out, kind), scalars_of(whole, kind)
        times = {"images_per_s", "data_wait"}
        assert [{k: v for k, v in line.items() if k not in times} for line in one] == [
            {k: v for k, v in line.items() if k not in times} for line in other
        ]


def run_command(*arguments: str) -> tuple[int, str]:
    """In this process; an error of the program's is raised."""
    done = CliRunner().invoke(app, ["train", "fadex", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def recipe_at(folder: Path, **changes: Any) -> str:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(tiny(**changes).model_dump(mode="json")))
    return str(file)


def test_ctrl_c_ends_with_a_checkpoint_and_0(
    photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = FadexTask.step

    def interrupted(self: FadexTask, batch: Any, number: int) -> Any:
        if number == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, batch, number)

    monkeypatch.setattr(FadexTask, "step", interrupted)
    out = tmp_path / "run"
    arguments = (photos, "--out", str(out), "--recipe", recipe_at(tmp_path))
    code, text = run_command(*arguments)
    assert code == 0
    assert "stopped after 3 of 8 steps" in text
    assert (out / "checkpoints" / "step-00000003").is_dir()
    monkeypatch.undo()
    code, text = run_command(*arguments, "--resume", "--json")
    assert code == 0
    assert json.loads(text[text.index("{\n") :])["done"] == 8
    with pytest.raises(RecipeError, match=r"recipe\.momentum: 0\.9 there and 0\.8 now"):
        run_command(*arguments, "--set", "momentum=0.8")


def test_numbers_that_are_none_end_it_with_the_batch(
    photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    from inscene.face2scene.stage_one import StageOne
    from inscene.training.loop import DivergedError

    step, seen = StageOne.step, []

    def poisoned(self: StageOne, batch: Any) -> Any:
        seen.append(batch)
        if len(seen) == 3:
            batch.query_lq[0, 0, 0, 0] = float("nan")
        return step(self, batch)

    monkeypatch.setattr(StageOne, "step", poisoned)
    out = tmp_path / "run"
    with pytest.raises(DivergedError, match="loss is nan") as caught:
        train_fadex(plan(tiny(), [photos], str(out)))
    assert caught.value.exit_code == 1
    assert str(out / "bad_batch") in str(caught.value)
    batch = load_file(out / "bad_batch" / "batch.safetensors")
    assert batch["query_lq"].shape == (12, 3, 32, 32)
    names = json.loads((out / "bad_batch" / "batch.json").read_text())["samples"]
    assert len(names) == 12


def test_a_batch_is_a_function_of_its_step(photos: str, pairs: str) -> None:
    import pickle

    for source, changes in ((photos, {}), (pairs, {}), (photos, {"data": {"same_images": True}})):
        recipe = tiny(**changes)
        made = FadexSource(list_samples([source], recipe), recipe)
        batches = [made.batch(step).tensors() for step in (0, 1)]
        again = pickle.loads(pickle.dumps(FadexSource(list_samples([source], recipe), recipe)))
        for step in (1, 0):
            for name, tensor in again.batch(step).tensors().items():
                assert torch.equal(tensor, batches[step][name]), (source, name)
        assert not torch.equal(batches[0]["query_lq"], batches[1]["query_lq"])
        assert not torch.equal(batches[0]["query_lq"], batches[0]["key_lq"])


def test_stored_faces_are_seen_restored_and_clean(tmp_path: Path) -> None:
    """Of restored ones both, the clean one as it is and resampled."""
    rows = []
    for content in range(6):
        clean = photo(content, 32)
        for version in range(2):
            lq = at_scene_size(lq_of(clean, PRESETS[version], content), (32, 32))
            restored = np.full_like(clean, 200 + content)
            faces = {"lq_face": cell(lq), "hq_face": cell(restored), "gt_face": cell(clean)}
            rest = {"hq_source": "ref_fr", "box": [4, 4, 36, 36]}
            points = [14, 16, 26, 16, 20, 22, 15, 28, 25, 28]
            rows.append(row(content, version, landmarks5=points, **faces, **rest))
    file = write_table("face-pairs", tmp_path / "faces.parquet", rows)
    for gt, round_trip in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)):
        choices = {"gt_probability": gt, "round_trip_probability": round_trip}
        recipe = tiny(data=choices, images=2, operators=2, validation={"images": 2})
        samples = list_samples([file], recipe)
        assert samples.kind == "face-pairs"
        assert len(samples.train) == 8
        batch = FadexSource(samples, recipe).batch(0)
        flat = batch.query_hq.flatten(1).float().std(dim=1) == 0
        assert flat.all() if not gt else not flat.any()
        cleans = {photo(content, 32).sum() for content in range(6)}
        same = [int(one.sum()) in cleans for one in batch.query_hq]
        assert all(same) == (gt == 1 and round_trip == 0)
        labels = batch.operators.tolist()
        assert sorted(labels.count(label) for label in set(labels)) in ([4], [2, 2])


def test_held_back_images_are_never_trained_on(photos: str, pairs: str) -> None:
    for source in (photos, pairs):
        samples = list_samples([source], tiny())
        held = {one.content for one in samples.validation}
        assert len(held) >= 2
        assert not held & {one.content for one in samples.train}


def test_mistakes_are_told_before_anything_is_written(tmp_path: Path, photos: str) -> None:
    out = str(tmp_path / "run")
    recipe = recipe_at(tmp_path)
    for arguments, wrong in (
        (("nowhere", "--out", out), "there is no such file or folder"),
        ((photos, "--out", out, "--set", "momentm=1"), "unknown key 'momentm'"),
        ((photos, "--out", out, "--set", "images=40"), "Groups of 2 to 7"),
        ((photos, "--out", out, "--limit", "3"), "too few"),
        ((photos, "--out", out, "--set", "start=nowhere"), "no such folder"),
        ((photos, "--out", out, "--set", "device=abacus"), "no device"),
    ):
        with pytest.raises(UsageError, match=wrong):
            run_command(*arguments, "--recipe", recipe)
    assert not Path(out).exists()
    code, text = run_command(photos, "--out", out, "--recipe", recipe, "--plan")
    assert code == 0
    assert "8 steps" in text
    assert not Path(out).exists()


def test_pairs_whose_operators_nobody_shares(tmp_path: Path) -> None:
    clean = photo(0, SIDE)
    images = {"lq": cell(clean), "hq": cell(clean), "width": SIDE, "height": SIDE}
    rows = [row(content, 0, **images) for content in range(6)]
    for number, one in enumerate(rows):
        one["operator_id"] = f"op{number}"
    file = write_table("pairs", tmp_path / "pairs.parquet", rows)
    with pytest.raises(UsageError, match="operator-pool auto"):
        plan(tiny(), [file], str(tmp_path / "run"))


def test_an_unreadable_photo_is_named(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", 6)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UsageError, match=r"0\d\.png: cannot be used"):
        train_fadex(plan(tiny(), [str(folder)], str(tmp_path / "run")))


def test_a_saved_fadex_is_verified(tmp_path: Path, photos: str) -> None:
    out = tmp_path / "run"
    train_fadex(plan(tiny(steps=1), [photos], str(out)))
    started = tiny(steps=1, start=str(out))
    train_fadex(plan(started, [photos], str(tmp_path / "second")))
    with pytest.raises(RecipeError, match="of the family tiny, not small"):
        train_fadex(plan(tiny(start=str(out), family="small"), [photos], str(tmp_path / "third")))
    file = out / "model" / "fadex" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(VerificationError, match="not what it was"):
        load_fadex(out / "model")
    with pytest.raises(UsageError, match="holds no FaDeX"):
        load_fadex(tmp_path)


def test_the_shipped_recipe_is_the_default() -> None:
    """What the comments there explain is what the code would do without it."""
    shipped = recipe_file.load(FadexRecipe, "train-fadex")
    assert shipped == FadexRecipe()
    assert shipped.operators * shipped.images == 20


def test_the_shipped_small_recipe_is_of_the_small_family() -> None:
    small = recipe_file.load(FadexRecipe, "train-fadex-small")
    assert (small.name, small.family) == ("train-fadex-small", "small")
    assert small.first_filters == "detail"
    assert small.data.crop_px > small.view_px  # room for two views
    assert small.data.crop_px >= (small.validation.view_px or small.view_px)
