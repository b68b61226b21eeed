"""``inscene train restorer`` as a function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from inscene.errors import RecipeError
from inscene.recipe import content_hash
from inscene.training.device import find_device
from inscene.training.loop import Pace, Trained, check, train
from inscene.training.progress import Display
from inscene.training.restorer.model import build_pipeline, origins
from inscene.training.restorer.recipe import RestorerRecipe
from inscene.training.restorer.samples import Samples, list_samples
from inscene.training.restorer.task import RestorerTask
from inscene.training.run_folder import SAMPLES, RunFolder

LIBRARIES = ("torch", "diffusers", "peft")
"""[chosen] Whose other version may round otherwise, or draw other weights."""


@dataclass(frozen=True)
class Planned:
    recipe: RestorerRecipe
    sources: tuple[str, ...]
    out: Path
    samples: Samples

    @property
    def steps(self) -> int:
        return self.recipe.pretrain_vae.steps + self.recipe.steps

    def fingerprint(self) -> dict[str, Any]:
        """What the run is, whatever its data are called and wherever they lie."""
        return {
            "recipe": self.recipe.fingerprint(),
            "data": content_hash(self.samples.states),
            "checkpoints": origins(self.recipe.model),
            "versions": {name: version(name) for name in LIBRARIES},
        }


def plan(recipe: RestorerRecipe, sources: Sequence[str], out: str) -> Planned:
    """Lists the data. Raises as :func:`list_samples`."""
    chosen = recipe.validation
    samples = list_samples(
        sources, seed=recipe.seed, hold_back=chosen.images, validation=chosen.source
    )
    return Planned(recipe, tuple(sources), Path(out), samples)


def train_restorer_with(
    planned: Planned, workers: int, display: Display | None = None, address: str | None = None
) -> Trained:
    """:func:`train_restorer` in several processes. Raises also as
    :func:`inscene.training.distributed.train_with`, and ``RecipeError`` for a batch that has fewer
    micro-batches than there are workers."""
    from inscene.training.distributed import train_with

    recipe = planned.recipe
    batches = [recipe.batch, *([recipe.pretrain_vae.batch] if recipe.pretrain_vae.steps else [])]
    if min(batches) <= recipe.micro_batch * (workers - 1):
        raise RecipeError(
            f"a batch of {min(batches)} in micro-batches of {recipe.micro_batch} cannot be shared "
            f"by {workers} workers",
            next_step="Use fewer --workers, a smaller micro_batch or a larger batch.",
        )
    run = RunFolder(planned.out, keep=recipe.keep)
    run.check(planned.fingerprint())
    return train_with(
        train_restorer,
        planned,
        run,
        workers=workers,
        device=recipe.device,
        address=address,
        display=display,
    )


def train_restorer(planned: Planned, display: Display | None = None) -> Trained:
    """Raises as :func:`~inscene.training.loop.train`, as what builds the model and as
    :func:`list_samples`."""
    recipe = planned.recipe
    run = RunFolder(planned.out, keep=recipe.keep)
    fingerprint = planned.fingerprint()
    check(run, fingerprint)  # before minutes are spent on loading models
    device = find_device(recipe.device)
    pipeline = build_pipeline(recipe.model, recipe.seed)
    pipeline.config = pipeline.config.model_copy(update={"enlarge": recipe.data.enlarge})
    task = RestorerTask(recipe, planned.samples, pipeline, device, run / SAMPLES)
    pace = Pace(
        planned.steps,
        log_every=recipe.log_every,
        validate_every=recipe.validation.every,
        checkpoint_every=recipe.checkpoint_every,
        best="psnr" if planned.samples.validation else None,
    )
    return train(task, run, pace, fingerprint, workers=recipe.loader_workers, display=display)
