"""The model that a training run begins with, and what it is judged by."""

from __future__ import annotations

from pathlib import Path

import torch

from inscene.errors import RecipeError
from inscene.face2scene import document, hub_repo, lora
from inscene.face2scene.base import move
from inscene.face2scene.config import Trainable
from inscene.face2scene.discriminator import Backbone, Dino, Discriminator, RandomBackbone
from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.fadex_folder import load_fadex
from inscene.face2scene.perceptual import LpipsVgg, Perceptual, RandomPerceptual
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.recipe import content_hash
from inscene.training.restorer.recipe import UNTRAINED, ModelChoice, RestorerRecipe


def build_pipeline(choice: ModelChoice, seed: int) -> Face2ScenePipeline:
    """On the CPU, float32. The same for the same seed and checkpoints.

    Raises ``RecipeError`` where tokens are wanted and there is no FaDeX, or one of another size;
    ``MissingWeightError`` for weights that are not here; what checkpoints raise.
    """
    base = None if choice.base is None else Path(choice.base).expanduser()
    if choice.start is not None:
        pipeline = Face2ScenePipeline.from_pretrained(choice.start, base=base)
        if pipeline.config.family != choice.family:
            raise RecipeError(
                f"model.start is of the family {pipeline.config.family}, not {choice.family}",
                where=choice.start,
                next_step=f"Set model.family to {pipeline.config.family}.",
            )
        if choice.trainable is not None:
            _train_other_parts(pipeline, choice.trainable, choice.start)
    else:
        pipeline = Face2ScenePipeline.from_family(
            choice.family, seed, config=choice.config(), base=base
        )
    if choice.fadex is None:
        if pipeline.config.token_scales and choice.start is None:
            raise RecipeError(
                "the restorer listens to a trained FaDeX, and none is named",
                where="model.fadex",
                next_step="Name its checkpoint: --fadex RUN/model, after inscene train fadex. "
                f"For trying things out: --fadex {UNTRAINED}.",
            )
    elif choice.fadex != UNTRAINED:
        pipeline.fadex = _fadex(choice.fadex, pipeline)
    if choice.vae is not None:
        _take_vae(choice.vae, pipeline)
    return pipeline


def origins(choice: ModelChoice) -> dict[str, str]:
    """Hashes of the checkpoints that a run is built upon: part of what it is, wherever they lie."""
    found = {}
    if choice.fadex is not None and choice.fadex != UNTRAINED:
        found["fadex"] = content_hash(dict(load_fadex(choice.fadex).files))
    for name in ("start", "vae"):
        if (place := getattr(choice, name)) is not None:
            found[name] = content_hash(document.read(hub_repo.local_folder(place))[1])
    return found


def build_critic(recipe: RestorerRecipe) -> Discriminator:
    """Of the recipe's seed; torch's own generator is left as it was. Raises as ``Dino.load``."""
    random = recipe.random_features(recipe.critic) or recipe.losses.adversarial == 0
    backbone: Backbone = RandomBackbone() if random else Dino.load()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return Discriminator(backbone, hidden=recipe.critic_hidden)


def build_perceptual(recipe: RestorerRecipe) -> Perceptual:
    """Raises as ``LpipsVgg.load``."""
    random = recipe.random_features(recipe.perceptual) or recipe.losses.perceptual == 0
    return RandomPerceptual() if random else LpipsVgg.load()


def _train_other_parts(pipeline: Face2ScenePipeline, trainable: Trainable, place: str) -> None:
    """Raises ``RecipeError`` where adapters would appear or vanish by it."""
    theirs = pipeline.config.trainable
    if theirs != trainable and "lora" in (theirs, trainable):
        raise RecipeError(
            f"model.start was trained with trainable: {theirs}, and cannot go on with {trainable}",
            where=place,
            next_step=f"Leave model.trainable at null, or set it to {theirs}.",
        )
    pipeline.config = pipeline.config.model_copy(update={"trainable": trainable})


def _fadex(place: str, pipeline: Face2ScenePipeline) -> FaDeX:
    fadex = load_fadex(place).fadex
    move(fadex, pipeline.device)
    channels = fadex.config["channels"][-1]
    wanted = pipeline.mapnet.config["in_channels"]
    if channels != wanted:
        raise RecipeError(
            f"this FaDeX gives {channels} channels, and the family {pipeline.config.family} "
            f"takes {wanted}",
            where=place,
            next_step="Train FaDeX of the same family, or choose its family here: model.family.",
        )
    return fadex


def _take_vae(place: str, pipeline: Face2ScenePipeline) -> None:
    """Raises ``RecipeError`` for a VAE of other layers, or one that adapters are part of."""
    other = Face2ScenePipeline.from_pretrained(place)
    theirs, own = other.restorer.vae.state_dict(), lora.plain_state(pipeline.restorer.vae)
    shapes = {name: one.shape for name, one in own.items()}
    if shapes != {name: one.shape for name, one in theirs.items()}:
        raise RecipeError(
            f"this VAE is not one of the family {pipeline.config.family}, or has adapters",
            where=place,
            next_step="Name a checkpoint of that family that was trained as a whole, or set "
            "pretrain_vae.steps.",
        )
    for name, one in own.items():
        one.copy_(theirs[name])
    with_scaling_factor(pipeline, other.config.scaling_factor)


def with_scaling_factor(pipeline: Face2ScenePipeline, factor: float) -> None:
    """In place: of the configuration, and of what computes with it."""
    pipeline.config = pipeline.config.model_copy(update={"scaling_factor": factor})
    pipeline.restorer.scaling_factor = factor
