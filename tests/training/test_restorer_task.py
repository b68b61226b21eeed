"""A restorer's training, step by step: who is changed, what is kept, what it begins with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from made_restorer import tiny, write_photos
from torch import Tensor, nn

from inscene.errors import RecipeError
from inscene.face2scene import lora
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.face2scene.updates import NonFiniteLossError, Scalars
from inscene.training import recipe_file
from inscene.training.device import find_device
from inscene.training.restorer.ema import RunningMean
from inscene.training.restorer.model import (
    build_pipeline,
    origins,
    with_scaling_factor,
)
from inscene.training.restorer.recipe import ModelChoice, RestorerRecipe
from inscene.training.restorer.samples import Samples, list_samples
from inscene.training.restorer.task import RestorerTask
from inscene.training.state import load_state, save_state

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = write_photos(tmp_path_factory.mktemp("task") / "photos", 5)
    return list_samples([str(folder)], seed=0, hold_back=1)


def made(samples: Samples, recipe: RestorerRecipe, pictures: Path = Path("unused")) -> RestorerTask:
    pipeline = build_pipeline(recipe.model, recipe.seed)
    return RestorerTask(recipe, samples, pipeline, CPU, pictures)


def taken(task: RestorerTask, steps: range) -> list[Scalars]:
    return [task.step(task.data.batch(step), step) for step in steps]


def flat(tree: Any, name: str = "") -> dict[str, Any]:
    if isinstance(tree, Mapping):
        items = [(str(key), one) for key, one in tree.items()]
    elif isinstance(tree, list | tuple):
        items = [(str(at), one) for at, one in enumerate(tree)]
    else:
        return {name: tree}
    return {key: one for part, value in items for key, one in flat(value, f"{name}.{part}").items()}


def same(one: Any, other: Any) -> bool:
    """Bit for bit."""
    ours, theirs = flat(one), flat(other)
    return ours.keys() == theirs.keys() and all(
        torch.equal(value, theirs[name]) if isinstance(value, Tensor) else value == theirs[name]
        for name, value in ours.items()
    )


def weights(task: RestorerTask) -> dict[str, Tensor]:
    pipeline = task.pipeline
    modules: dict[str, nn.Module] = {
        "unet": pipeline.restorer.unet,
        "vae": pipeline.restorer.vae,
        "fadex": pipeline.fadex,
        "mapnet": pipeline.mapnet,
        "critic": task._critic,
        "perceptual": task._perceptual,
    }
    return {
        f"{part}.{name}": one.clone()
        for part, module in modules.items()
        for name, one in module.state_dict().items()
    }


def changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    return {name for name, one in after.items() if not torch.equal(one, before[name])}


# -- Gradients only where they belong -----------------------------------------------------------


@pytest.mark.parametrize("mode", ["joint", "sequential"])
@pytest.mark.parametrize("trainable", ["full", "unet", "lora"])
def test_only_what_is_trained_changes(samples: Samples, mode: str, trainable: str) -> None:
    recipe = tiny(update_mode=mode, model={"trainable": trainable})
    task = made(samples, recipe)
    before = weights(task)
    scalars = taken(task, range(3))
    moved = changed(before, weights(task))
    assert all(math.isfinite(value) for one in scalars for value in one.values())
    assert not {name for name in moved if name.startswith(("fadex.", "perceptual."))}
    assert not {name for name in moved if name.startswith("critic.backbone")}
    assert {name for name in before if name.startswith("mapnet.")} <= moved
    assert {name for name in moved if name.startswith("critic.heads")}
    own = {name for name in moved if name.startswith(("unet.", "vae."))}
    if trainable == "lora":
        assert all("lora_" in name or name.startswith("unet.conv_in.") for name in own)
    else:
        parts = ("vae.encoder.", "vae.decoder.", "vae.post_quant_conv.")
        wanted = parts if trainable == "full" else ("unet.up_blocks.",)
        assert {name for name in before if name.startswith(wanted)} <= moved
    found = {name.split(".")[0] for name in own}
    assert found == ({"unet"} if trainable == "unet" else {"unet", "vae"})


def test_without_tokens_mapnet_is_left_alone(samples: Samples) -> None:
    task = made(samples, tiny(model={"token_scales": (), "fadex": None}))
    before = weights(task)
    taken(task, range(1))
    assert not {name for name in changed(before, weights(task)) if name.startswith("mapnet.")}


def test_without_a_weight_there_is_no_discriminator(samples: Samples) -> None:
    task = made(samples, tiny(losses={"adversarial": 0}))
    before = weights(task)
    (scalars,) = taken(task, range(1))
    assert {"pixel", "perceptual", "loss", "negatives"} <= scalars.keys()
    assert "adversarial" not in scalars
    moved = changed(before, weights(task))
    assert moved
    assert not {name for name in moved if name.startswith("critic.")}


# -- Going on ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.9, "final_rate": 0.1},
        {"pretrain_vae": {"steps": 2, "batch": 2, "crop_px": 32}},
    ],
)
def test_a_resumed_run_is_the_run(
    samples: Samples, changes: dict[str, Any], tmp_path: Path
) -> None:
    """Bit for bit, wherever it was interrupted, also in the VAE's training and at its end."""
    recipe = tiny(**changes)
    task, steps = made(samples, recipe), 4
    states = []
    for step in range(steps):
        folder = tmp_path / str(step)
        folder.mkdir()
        save_state(task.state(), folder)
        states.append(folder)
        taken(task, range(step, step + 1))
    for step in (1, 2, 3):
        other = made(samples, recipe)
        other.load(load_state(states[step]))
        taken(other, range(step, steps))
        assert same(other.state(), task.state())
    assert not same(load_state(states[3]), task.state())


def test_looking_changes_nothing(samples: Samples, tmp_path: Path) -> None:
    recipe = tiny(ema=0.5)
    task, watched = made(samples, recipe), made(samples, recipe, tmp_path)
    taken(task, range(2))
    taken(watched, range(1))
    seen = watched.validate(1)
    watched.checkpoint(tmp_path / "model")
    taken(watched, range(1, 2))
    assert same(watched.state(), task.state())
    assert seen.keys() >= {"psnr", "ssim", "psnr_bicubic", "psnr_gain"}
    assert (tmp_path / "step-00000001.png").is_file()
    assert [one.name for one in tmp_path.iterdir() if one.suffix != ".png"] == ["model"]


def test_what_is_saved_is_the_running_mean(samples: Samples, tmp_path: Path) -> None:
    task = made(samples, tiny(ema=0.99))
    taken(task, range(2))
    task.checkpoint(tmp_path / "model")
    assert task._restorer is not None
    assert task._restorer.mean is not None
    saved = Face2ScenePipeline.from_pretrained(tmp_path / "model").restorer.unet.state_dict()
    means = task._restorer.mean.means
    own = task.pipeline.restorer.unet.state_dict()
    name = "conv_in.weight"
    assert torch.equal(saved[name], means[f"restorer.unet.{name}"])
    assert not torch.equal(saved[name], own[name])


def test_the_running_mean_is_one() -> None:
    layer = nn.Linear(1, 1, bias=False)
    mean = RunningMean(dict(layer.named_parameters()), 0.9)
    expected = layer.weight.item()
    for step in range(1, 30):
        with torch.no_grad():
            layer.weight.fill_(step)
        mean.update()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert mean.means["weight"].item() == pytest.approx(expected, rel=1e-5)
    with mean.in_place():
        assert layer.weight.item() == pytest.approx(expected, rel=1e-5)
    assert layer.weight.item() == 29


def test_the_vae_comes_first(samples: Samples, tmp_path: Path) -> None:
    recipe = tiny(pretrain_vae={"steps": 2, "batch": 3, "crop_px": 32})
    task = made(samples, recipe, tmp_path)
    assert (task.steps, task.images_per_step, len(task.data.batch(0))) == (6, 3, 3)
    before = weights(task)
    taken(task, range(2))
    moved = changed(before, weights(task))
    assert {name.split(".")[0] for name in moved} == {"vae"}
    assert {name for name in before if name.startswith("vae.decoder")} <= moved
    assert math.isfinite(task.validate(2)["vae_psnr"])
    assert task.pipeline.config.scaling_factor == 1
    taken(task, range(2, 3))
    assert task.images_per_step == 2
    task.checkpoint(tmp_path / "model")
    factor = Face2ScenePipeline.from_pretrained(tmp_path / "model").config.scaling_factor
    assert factor == task.pipeline.restorer.scaling_factor != 1


# -- How -----------------------------------------------------------------------------------------


def test_gradient_checkpointing_computes_the_same(samples: Samples) -> None:
    plain, saving = (made(samples, tiny(gradient_checkpointing=choice)) for choice in (False, True))
    assert saving.pipeline.restorer.unet.is_gradient_checkpointing
    for one, other in zip(taken(plain, range(2)), taken(saving, range(2)), strict=True):
        assert other == pytest.approx(one, rel=1e-3)


# MapNet's RMSNorm is given bfloat16 there, beside weights in float32: right, and not the fastest.
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight:UserWarning")
def test_in_bfloat16_the_weights_stay_float32(samples: Samples) -> None:
    task = made(samples, tiny(precision="bfloat16"))
    exact = made(samples, tiny())
    (half,), (full,) = taken(task, range(1)), taken(exact, range(1))
    assert half["pixel"] == pytest.approx(full["pixel"], rel=0.1)
    assert half["pixel"] != full["pixel"]
    tensors = [one for one in flat(task.state()).values() if isinstance(one, Tensor)]
    assert {one.dtype for one in tensors if one.is_floating_point()} == {torch.float32}


def test_rates_fall_along_half_a_cosine(samples: Samples) -> None:
    task = made(samples, tiny(final_rate=0.2, steps=4, losses={"adversarial": 0}))
    assert task._restorer is not None
    rates = []
    for step in (0, 2, 4):
        task._restorer._set_rates(step)
        (group, mapnet) = task._restorer._optimisers["generator"].param_groups
        assert group["lr"] == mapnet["lr"]
        rates.append(group["lr"])
    assert rates == pytest.approx([1e-3, 0.6e-3, 0.2e-3])


def test_a_batch_that_cannot_be_trained_on_is_kept(samples: Samples, tmp_path: Path) -> None:
    task = made(samples, tiny())
    with torch.no_grad():
        task.pipeline.restorer.unet.conv_in.weight.fill_(math.nan)
    batch = task.data.batch(0)
    with pytest.raises(NonFiniteLossError):
        task.step(batch, 0)
    task.save_batch(batch, tmp_path)
    files = {one.name for one in tmp_path.iterdir()}
    parts = ("lq", "hq", "face_lq", "face_hq")
    assert files == {"samples.json"} | {f"{n:03d}.{part}.png" for n in range(2) for part in parts}


# -- What it begins with ------------------------------------------------------------------------


def test_it_listens_to_the_fadex_that_is_named(tmp_path: Path) -> None:
    Face2ScenePipeline.from_family("tiny", seed=9).save_pretrained(tmp_path / "fadex")
    place = str(tmp_path / "fadex")
    choice = ModelChoice(family="tiny", fadex=place)
    pipeline = build_pipeline(choice, seed=0)
    theirs = Face2ScenePipeline.from_family("tiny", seed=9).fadex.state_dict()
    assert same(pipeline.fadex.state_dict(), theirs)
    ours = Face2ScenePipeline.from_family("tiny", seed=0)
    assert same(pipeline.mapnet.state_dict(), ours.mapnet.state_dict())
    assert origins(choice).keys() == {"fadex"}
    begun = build_pipeline(ModelChoice(family="tiny", start=place), seed=0)
    assert not same(begun.mapnet.state_dict(), ours.mapnet.state_dict())
    with pytest.raises(RecipeError, match=r"32 channels, and the family small takes \d+"):
        build_pipeline(ModelChoice(family="small", fadex=place), seed=0)
    with pytest.raises(RecipeError, match=r"family tiny, not small"):
        build_pipeline(ModelChoice(family="small", start=place), seed=0)


def test_what_one_run_has_begun_another_may_train_further(tmp_path: Path) -> None:
    """First the UNet, then the VAE too; whether there are adapters is the checkpoint's."""
    begun = ModelChoice(family="tiny", fadex="untrained", trainable="unet")
    build_pipeline(begun, seed=1).save_pretrained(tmp_path)
    trained = {
        choice: build_pipeline(
            ModelChoice(family="tiny", start=str(tmp_path), trainable=choice), seed=0
        ).config.trainable
        for choice in (None, "full")
    }
    assert trained == {None: "unet", "full": "full"}
    with pytest.raises(RecipeError, match="trainable: unet, and cannot go on with lora"):
        build_pipeline(ModelChoice(family="tiny", start=str(tmp_path), trainable="lora"), seed=0)


def with_vae(place: Path, family: str = "tiny", seed: int = 9) -> str:
    """A checkpoint; the scale of its latents is one that no other has."""
    pipeline = Face2ScenePipeline.from_family(family, seed=seed)
    with_scaling_factor(pipeline, 0.3)
    pipeline.save_pretrained(place)
    return str(place)


def test_it_begins_with_the_vae_that_is_named(tmp_path: Path) -> None:
    """With nothing else of that checkpoint but the scale of its latents."""
    choice = ModelChoice(family="tiny", fadex="untrained", vae=with_vae(tmp_path / "vae"))
    pipeline = build_pipeline(choice, seed=0)
    theirs = Face2ScenePipeline.from_family("tiny", seed=9)
    ours = Face2ScenePipeline.from_family("tiny", seed=0)
    assert same(pipeline.restorer.vae.state_dict(), theirs.restorer.vae.state_dict())
    assert same(pipeline.restorer.unet.state_dict(), ours.restorer.unet.state_dict())
    assert same(pipeline.mapnet.state_dict(), ours.mapnet.state_dict())
    assert same(pipeline.fadex.state_dict(), ours.fadex.state_dict())
    assert pipeline.restorer.scaling_factor == pipeline.config.scaling_factor == 0.3


def test_adapters_come_beside_the_vae_that_is_named(tmp_path: Path) -> None:
    place = with_vae(tmp_path / "vae")
    choice = ModelChoice(family="tiny", fadex="untrained", vae=place, trainable="lora")
    pipeline = build_pipeline(choice, seed=0)
    theirs = Face2ScenePipeline.from_family("tiny", seed=9)
    vae = pipeline.restorer.vae
    assert same(lora.plain_state(vae), theirs.restorer.vae.state_dict())
    assert lora.parameters(vae)
    pipeline.save_pretrained(tmp_path / "adapted")
    with pytest.raises(RecipeError, match="or has adapters"):
        build_pipeline(ModelChoice(**{**dict(choice), "vae": str(tmp_path / "adapted")}), seed=0)


def test_a_vae_of_another_family(tmp_path: Path) -> None:
    place = with_vae(tmp_path / "vae")
    with pytest.raises(RecipeError, match="not one of the family small") as caught:
        build_pipeline(ModelChoice(family="small", fadex="untrained", vae=place), seed=0)
    assert caught.value.where == place


def test_a_vae_is_part_of_the_run_by_its_content(tmp_path: Path) -> None:
    places = [with_vae(tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    one, other = (origins(ModelChoice(family="tiny", vae=place)) for place in places)
    assert one.keys() == {"vae"}
    assert one != other
    facts = [tiny(model={"vae": place}).fingerprint() for place in (*places, None)]
    assert facts[0] == facts[1] != facts[2]
    Path(places[0]).rename(tmp_path / "moved")
    assert origins(ModelChoice(family="tiny", vae=str(tmp_path / "moved"))) == one


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"vae": "a", "start": "b"}}, "start has a VAE of its own"),
        ({"model": {"vae": "a"}, "pretrain_vae": {"steps": 1}}, "checkpoint to begin with has"),
        ({"model": {"vae": "a", "family": "sd-turbo"}}, "sd-turbo has a VAE that others trained"),
    ],
)
def test_a_vae_and_another_one(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny(**changes)


def test_a_fadex_must_be_named() -> None:
    with pytest.raises(RecipeError, match=r"none is named.*inscene train fadex"):
        build_pipeline(ModelChoice(family="tiny"), seed=0)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(Exception, match="no cuda:77"):
        find_device("cuda:77")
    with pytest.raises(Exception, match="no device 'gpu0'"):
        find_device("gpu0")


# -- The recipe ---------------------------------------------------------------------------------


def test_the_shipped_recipe_is_the_papers() -> None:
    recipe = recipe_file.load(RestorerRecipe, "train-restorer")
    assert recipe == RestorerRecipe()
    assert (recipe.steps, recipe.batch, recipe.data.crop_px) == (20_000, 64, 512)
    assert recipe.stage_two().update_mode == "sequential"
    assert tiny().stage_two().update_mode == "joint"


@pytest.mark.parametrize("name", ["train-vae-small", "train-restorer-small", "train-all-small"])
def test_the_shipped_small_recipes_are_of_the_small_family(name: str) -> None:
    """Without a critic, at falling rates; only the first trains a VAE."""
    recipe = recipe_file.load(RestorerRecipe, name)
    assert (recipe.name, recipe.model.family) == (name, "small")
    assert bool(recipe.pretrain_vae.steps) == (name == "train-vae-small")
    assert recipe.final_rate < 1
    assert recipe.losses.adversarial == recipe.losses.perceptual == 0
    assert recipe.data.scene_px >= recipe.data.faces.stand_in_px[1] > recipe.data.crop_px


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.crop_pxx=64", "unknown key 'data.crop_pxx'.*Did you mean 'crop_px'"),
        ("generator.learning_rat=1", "Did you mean 'learning_rate'"),
        ("data.crop_px=500", "a multiple of 64 px"),
        ("batch=0", "--set batch: batch: Input should be greater"),
        ("pretrain_vae.steps=5", "has a VAE that others trained"),
        ("data.profile=s3dif", "s3diff"),
        ("steps", "is not KEY=VALUE"),
    ],
)
def test_mistakes_are_named(override: str, words: str) -> None:
    with pytest.raises(Exception, match=words):
        recipe_file.load(RestorerRecipe, "train-restorer", [override])


def test_what_decides_the_result_is_the_fingerprint() -> None:
    base = tiny().fingerprint()
    for free in ({"steps": 9}, {"keep": 5}, {"log_every": 3}, {"validation": {"every": 2}}):
        assert tiny(**free).fingerprint() == base
    for bound in ({"seed": 1}, {"ema": 0.5}, {"data": {"flip": False}}, {"micro_batch": 1}):
        assert tiny(**bound).fingerprint() != base
    falling = {"final_rate": 0.1}
    assert tiny(steps=9, **falling).fingerprint() != tiny(**falling).fingerprint()
