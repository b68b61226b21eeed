"""``inscene train fadex`` as a function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from inscene.errors import RecipeError
from inscene.face2scene import ranks
from inscene.face2scene.fadex_folder import load_fadex
from inscene.recipe import content_hash
from inscene.training.device import find_device
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.fadex.samples import Groups, Samples, list_samples
from inscene.training.fadex.task import FadexTask
from inscene.training.loop import Pace, Trained, check, train
from inscene.training.progress import Display
from inscene.training.run_folder import SAMPLES, RunFolder

LIBRARIES = ("torch", "diffusers", "numpy")
"""[chosen] Whose other version may round otherwise, or draw other weights."""


@dataclass(frozen=True)
class Planned:
    recipe: FadexRecipe
    sources: tuple[str, ...]
    out: str
    samples: Samples
    groups: Groups

    @property
    def steps(self) -> int:
        return self.recipe.steps or self.groups.steps(self.recipe.epochs)

    def fingerprint(self) -> dict[str, Any]:
        """What the run is, whatever its data are called and wherever they lie."""
        start = self.recipe.start
        origin = None if start is None else content_hash(dict(load_fadex(start).files))
        return {
            "recipe": {**self.recipe.fingerprint(), "start": origin},
            "data": content_hash(self.samples.states()),
            "versions": {name: version(name) for name in LIBRARIES},
        }


def plan(
    recipe: FadexRecipe, sources: Sequence[str], out: str, limit: int | None = None
) -> Planned:
    """Lists the data. Raises as :func:`list_samples` and :meth:`Samples.groups`."""
    samples = list_samples(sources, recipe, limit)
    return Planned(recipe, tuple(sources), out, samples, samples.groups(recipe))


def train_fadex_with(
    planned: Planned, workers: int, display: Display | None = None, address: str | None = None
) -> Trained:
    """:func:`train_fadex` in several processes. Raises also as
    :func:`inscene.training.distributed.train_with`, and ``RecipeError`` for a batch that is too
    small to be shared."""
    from inscene.training.distributed import train_with

    recipe = planned.recipe
    if recipe.operators * recipe.images < 2 * workers:
        raise RecipeError(
            f"{recipe.operators * recipe.images} images a step are too few for {workers} workers",
            next_step="Use fewer --workers, or set operators or images to more.",
        )
    run = RunFolder(planned.out, keep=recipe.keep)
    run.check(planned.fingerprint())
    return train_with(
        train_fadex,
        planned,
        run,
        workers=workers,
        device=recipe.device,
        address=address,
        display=display,
    )


def train_fadex(planned: Planned, display: Display | None = None) -> Trained:
    """Raises as :func:`inscene.training.loop.train`, and as what reads a FaDeX to begin with."""
    recipe = planned.recipe
    run = RunFolder(planned.out, keep=recipe.keep)
    fingerprint = planned.fingerprint()
    check(run, fingerprint)
    device = find_device(recipe.device)
    task = FadexTask(recipe, planned.samples, device, run / SAMPLES)
    pace = Pace(
        task.steps,
        log_every=recipe.log_every,
        validate_every=recipe.validation.every,
        checkpoint_every=recipe.checkpoint_every,
        best="gap",  # retrieval is soon as good as it can be
    )
    return train(
        task,
        run,
        pace,
        fingerprint,
        # Of those that the recipe does not count, the machine's are for all ranks.
        workers=recipe.loader_workers // (ranks.count() if recipe.workers is None else 1),
        pin=device.type == "cuda",
        display=display,
    )
