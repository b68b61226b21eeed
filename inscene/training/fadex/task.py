"""FaDeX's training as the loop takes it."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from inscene.errors import RecipeError
from inscene.face2scene import ranks
from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.fadex_folder import load_fadex, save_fadex
from inscene.face2scene.families import find_family
from inscene.face2scene.momentum import MomentumEncoder, Queue
from inscene.face2scene.stage_one import StageOne, fadex_optimiser
from inscene.face2scene.updates import Scalars
from inscene.training.fadex.beginning import look_at_detail
from inscene.training.fadex.data import FadexBatch, FadexSource
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.fadex.samples import Samples
from inscene.training.fadex.validation import FadexValidation
from inscene.training.state import State, save_tensors


class FadexTask:
    """See :class:`inscene.training.loop.Task`. It draws nothing at random after it was made."""

    def __init__(
        self, recipe: FadexRecipe, samples: Samples, device: torch.device, pictures: Path
    ) -> None:
        """``pictures``: folder for validation's. Raises as :meth:`Samples.groups` and
        :func:`build_fadex`."""
        self.data = FadexSource(samples, recipe)
        self.steps = self.data.steps()
        self.images_per_step = recipe.operators * recipe.images
        self._recipe, self._device = recipe, device
        encoder = build_fadex(recipe).to(device)
        ranks.join_batch_norms(encoder)
        momentum = MomentumEncoder(encoder, recipe.momentum)
        queue = Queue(recipe.queue, encoder.config["embedding_dim"], recipe.seed).to(device)
        self.stage = StageOne(
            encoder.train(),
            momentum.train(),
            queue,
            fadex_optimiser(encoder, recipe.optimisation),
            recipe.optimisation,
        )
        self._validation = FadexValidation(samples, recipe, pictures)

    def step(self, batch: FadexBatch, step: int) -> Scalars:
        rate = self._recipe.optimisation.rate_at(step, self.steps)
        for group in self.stage.optimiser.param_groups:
            group["lr"] = rate
        return self.stage.step(batch.on(self._device)) | {"learning_rate": rate}

    def validate(self, done: int) -> Scalars:
        return self._validation.measure(self.stage.encoder, self._device, done)

    def state(self) -> State:
        stage = self.stage
        return {
            "encoder": stage.encoder.state_dict(),
            "momentum": stage.momentum.state_dict(),
            "queue": stage.queue.state_dict(),
            "optimiser": stage.optimiser.state_dict(),
        }

    def load(self, state: State) -> None:
        for name, one in state.items():
            getattr(self.stage, name).load_state_dict(one)

    def checkpoint(self, folder: Path) -> None:
        """Only the query branch: see :mod:`inscene.face2scene.fadex_folder`."""
        recipe = self._recipe.fingerprint()
        recipe.pop("start")  # a path of this machine
        facts = {"recipe": recipe, "steps": self.steps}
        save_fadex(self.stage.encoder, self._recipe.family, folder, facts)

    def save_batch(self, batch: FadexBatch, folder: Path) -> None:
        save_tensors(batch.tensors(), folder / "batch.safetensors")
        text = json.dumps({"samples": batch.samples}, indent=1)
        (folder / "batch.json").write_text(text + "\n", encoding="utf-8")


def build_fadex(recipe: FadexRecipe) -> FaDeX:
    """On the CPU; the same for the same seed. Raises ``RecipeError`` for a start of another family,
    and as :func:`load_fadex`."""
    if recipe.start is not None:
        saved = load_fadex(recipe.start)
        if saved.family != recipe.family:
            raise RecipeError(
                f"this FaDeX is of the family {saved.family}, not {recipe.family}",
                where=recipe.start,
                next_step=f"--set family={saved.family}",
            )
        return saved.fadex
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        fadex: FaDeX = FaDeX(**find_family(recipe.family).fadex)
    if recipe.first_filters == "detail":
        look_at_detail(fadex)
    return fadex
