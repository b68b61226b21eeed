"""Stage II as a training run has it: its modules, optimisers and steps, and what is kept of
them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import AdamW

from inscene.face2scene import negatives
from inscene.face2scene.discriminator import Discriminator
from inscene.face2scene.generator import TrainableRestorer
from inscene.face2scene.negatives import Rng
from inscene.face2scene.perceptual import Perceptual
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.face2scene.stage_two import (
    StageTwo,
    StageTwoBatch,
    discriminator_optimiser,
    generator_optimiser,
)
from inscene.face2scene.updates import Scalars
from inscene.training.rates import half_cosine
from inscene.training.restorer.ema import RunningMean
from inscene.training.restorer.recipe import RestorerRecipe
from inscene.training.state import State


class StageTwoTraining:
    def __init__(
        self,
        recipe: RestorerRecipe,
        pipeline: Face2ScenePipeline,
        critic: Discriminator,
        perceptual: Perceptual,
    ) -> None:
        self._recipe = recipe
        self.generator = TrainableRestorer(pipeline)
        self.critic = critic
        if recipe.gradient_checkpointing:
            pipeline.restorer.enable_gradient_checkpointing()
        self._optimisers: dict[str, AdamW] = {
            "generator": generator_optimiser(self.generator, recipe.generator),
            "discriminator": discriminator_optimiser(critic, recipe.discriminator),
        }
        self._rates = {
            name: [group["lr"] for group in one.param_groups]
            for name, one in self._optimisers.items()
        }
        self.stage = StageTwo(
            self.generator,
            critic,
            perceptual,
            self._optimisers["generator"],
            self._optimisers["discriminator"],
            recipe.stage_two(),
        )
        self.mean: RunningMean | None = None
        if recipe.ema is not None:
            trained = {
                name: one for name, one in self.generator.named_parameters() if one.requires_grad
            }
            self.mean = RunningMean(trained, recipe.ema)

    def step(self, batches: Sequence[StageTwoBatch], step: int, rng: Rng) -> Scalars:
        self._set_rates(step)
        weights = self._recipe.losses
        if weights.adversarial:
            scalars = self.stage.step(batches, rng)
        else:
            scalars = self._reconstruct(batches, rng)
        if self.mean is not None:
            self.mean.update()
        loss = sum(
            getattr(weights, name) * scalars.get(name, 0.0)
            for name in ("pixel", "perceptual", "adversarial")
        )
        return scalars | {"loss": loss}

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            f"{name}_optimiser": one.state_dict() for name, one in self._optimisers.items()
        }
        found["critic"] = self.critic.heads.state_dict()
        found["mean"] = None if self.mean is None else self.mean.state()
        return found

    def load(self, state: State) -> None:
        for name, one in self._optimisers.items():
            one.load_state_dict(dict(state[f"{name}_optimiser"]))
        self.critic.heads.load_state_dict(dict(state["critic"]))
        if self.mean is not None:
            self.mean.load(state["mean"]["updates"], state["mean"]["means"])

    def _reconstruct(self, batches: Sequence[StageTwoBatch], rng: Rng) -> Scalars:
        """A step without a discriminator."""
        sizes = [len(one.lq) for one in batches]
        negative = negatives.of_parts(sizes, rng, self._recipe.negative_probability)
        scalars = self.stage.reconstruct(batches, negative, rng)
        return scalars | {"negatives": negatives.share(negative)}

    def _set_rates(self, step: int) -> None:
        recipe = self._recipe
        factor = half_cosine(step, recipe.steps, recipe.final_rate)
        for name, optimiser in self._optimisers.items():
            for group, rate in zip(optimiser.param_groups, self._rates[name], strict=True):
                group["lr"] = rate * factor
