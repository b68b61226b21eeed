"""``inscene train``"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inscene.cli import options as opt
from inscene.cli import train_restorer
from inscene.cli.console import print_json
from inscene.errors import InterruptedRunError, MachineError

if TYPE_CHECKING:
    from inscene.training.fadex.run import Planned
    from inscene.training.loop import Trained

app = typer.Typer(help="Train FaDeX, then the restorer.", no_args_is_help=True)
app.command()(train_restorer.restorer)

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET...",
        help="Datasets of face pairs, of pairs or of scenes, or folders of photographs; path or "
        "URL. Photographs are degraded on the way.",
    ),
]


@app.command()
def fadex(
    source: Sources,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    recipe: opt.Recipe = "train-fadex",
    set_: opt.Set = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that is there: always so.")
    ] = False,
    workers: opt.TrainWorkers = 1,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """Train the degradation encoder.

    The same command goes on where it was stopped or killed. Ctrl-C ends it after the step at hand,
    with a checkpoint. RUN/model is what it has trained.
    """
    require_training()
    from inscene.quiet import only_errors

    with only_errors("bitsandbytes"):  # which has no kernels for CPUs, and nobody asks it for any
        from inscene.training import recipe_file
        from inscene.training.fadex.recipe import FadexRecipe
        from inscene.training.fadex.run import plan as planned
        from inscene.training.fadex.run import train_fadex, train_fadex_with

    overrides = [*(set_ or []), *([] if seed is None else [f"seed={seed}"])]
    loaded = recipe_file.load(FadexRecipe, recipe or "train-fadex", overrides)
    work = planned(loaded, source, str(out), limit)
    if plan:
        print_facts(f"{loaded.name}: {work.steps} steps → {out}", _facts(work), json)
        return
    from inscene.training.progress import open_display

    try:
        display = open_display("train fadex", work.steps)
        if workers > 1 or ray_address:
            done = train_fadex_with(work, workers, display, ray_address)
        else:
            done = train_fadex(work, display)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "interrupted", next_step="The same command goes on from the last checkpoint."
        ) from None
    print_trained(done, out, json)


def require_training() -> None:
    """Raises ``MachineError`` where the libraries are not installed."""
    from inscene.doctor.machine import version_of

    packages = ("torch", "diffusers", "peft", "safetensors")
    if missing := [name for name in packages if version_of(name) is None]:
        raise MachineError(
            f"training needs {', '.join(missing)}", next_step="Run: pip install 'inscene[train]'"
        )


def print_facts(head: str, facts: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(dict(facts))
        return
    print(head)
    for name, value in facts.items():
        print(f"  {name}: {value}")


def print_trained(done: Trained, out: Path, as_json: bool) -> None:
    if as_json:
        print_json(asdict(done))
        return
    from inscene.training.progress import in_words

    end = "stopped" if done.stopped else "done"
    print(f"{out}: {end} after {done.done} of {done.steps} steps")
    if done.validated:
        print(f"  {in_words(done.validated)}")
    print(f"  {done.checkpoint if done.stopped else out / 'model'}")
    if done.stopped:
        print("  The same command goes on.")


def _facts(work: Planned) -> dict[str, Any]:
    recipe, samples = work.recipe, work.samples
    return {
        "out": work.out,
        "family": recipe.family,
        "data": samples.kind,
        "train": len(samples.train),
        "validation": len(samples.validation),
        "groups_per_epoch": work.groups.per_epoch,
        "batch": recipe.operators * recipe.images,
        "steps": work.steps,
    }
