"""``inscene train restorer``"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inscene.cli import options as opt
from inscene.errors import InterruptedRunError

if TYPE_CHECKING:
    from inscene.training.restorer.run import Planned

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET...",
        help="Datasets of pairs, of face pairs and of scenes, folders of photographs; path or URL.",
    ),
]


def restorer(
    source: Sources,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    fadex: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint whose FaDeX it listens to: a folder, OWNER/NAME on the Hub, or "
            "face2scene-small, which ships.",
            metavar="CHECKPOINT",
        ),
    ] = None,
    recipe: opt.Recipe = "train-restorer",
    set_: opt.Set = None,
    seed: opt.Seed = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that is there: always so.")
    ] = False,
    workers: opt.TrainWorkers = 1,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """Train the scene restorer.

    The same command goes on where it was stopped or killed. RUN/model is what it has trained.
    """
    from inscene.cli.train import print_facts, print_trained, require_training

    require_training()
    from inscene.training import recipe_file
    from inscene.training.restorer.recipe import RestorerRecipe
    from inscene.training.restorer.run import plan as planned

    overrides = list(set_ or [])
    if fadex is not None:
        overrides.append(f"model.fadex={dumps(fadex)}")
    if seed is not None:
        overrides.append(f"seed={seed}")
    loaded = recipe_file.load(RestorerRecipe, recipe or "train-restorer", overrides)
    work = planned(loaded, source, str(out))
    if plan:
        print_facts(f"{loaded.name}: {work.steps} steps → {out}", _facts(work), json)
        return
    from inscene.training.progress import open_display
    from inscene.training.restorer.run import train_restorer, train_restorer_with

    try:
        display = open_display("train restorer", work.steps)
        if workers > 1 or ray_address:
            done = train_restorer_with(work, workers, display, ray_address)
        else:
            done = train_restorer(work, display)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "interrupted", next_step="The same command goes on from the last checkpoint."
        ) from None
    print_trained(done, out, json)


def _facts(work: Planned) -> dict[str, Any]:
    recipe, samples = work.recipe, work.samples
    started = recipe.model.start is not None
    return {
        "out": str(work.out),
        "family": recipe.model.family,
        "tokens": f"of {recipe.model.start}" if started else recipe.model.config().tokens,
        "train": len(samples.train),
        "validation": len(samples.validation),
        "with_face_pair": samples.with_face_pair,
        "batch": recipe.batch,
        "vae_steps": recipe.pretrain_vae.steps,
        "steps": recipe.steps,
        "epochs": round(recipe.steps * recipe.batch / len(samples.train), 2),
    }
