"""``inscene build …``"""

from __future__ import annotations

from json import dumps
from typing import Annotated

import typer

from inscene.cli import cc12m, raw, synthetic
from inscene.cli import options as opt
from inscene.cli.console import say
from inscene.cli.execute import RunOptions, built_recipe, execute, execute_plan

app = typer.Typer(help="Make a dataset of scenes, or of face pairs.", no_args_is_help=True)


@app.command()
def gallery(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folder with a sub-folder for each person, dataset, or one CSV or Parquet "
            "table of path and identity.",
        ),
    ],
    out: opt.Out,
    licence: opt.Licence = None,
    consent: opt.Consent = None,
    sidecar: opt.SidecarFile = None,
    recipe: opt.Recipe = "gallery",
    set_: opt.Set = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """Scenes from real photographs of people.

    Every photo ends as a kept scene or with a reason; the same command again resumes.
    --recipe photos takes all photos as they are.
    """
    from inscene.gallery.inputs import Rights
    from inscene.gallery.needs import lacking
    from inscene.gallery.plan import plan_gallery

    options = RunOptions(out, set_ or [], limit, seed, executor, workers, ray_address, plan, json)
    rights = Rights(sidecar, licence, consent)
    built = built_recipe(recipe or "gallery", options)
    missing = lacking(built) if plan else None
    to_run = missing is None or not missing.weights  # a plan to look at needs no weights
    planned = plan_gallery(built, source, rights, out, limit, to_run=to_run)
    for note in rights.notes() if limit is None else ():
        say(f"note: {note}")
    execute_plan(planned, options, missing)


@app.command("face-pairs")
def face_pairs(
    source: Annotated[
        list[str],
        typer.Argument(metavar="PAIRS...", help="Datasets of LQ–HQ pairs of scenes; path or URL."),
    ],
    out: opt.Out,
    ref_fr: Annotated[
        str | None,
        typer.Option(
            help="What restores the faces: gt, perturbed:good|medium|bad, identity, faceme, "
            "another method for aligned faces, or a manifest.  [default: recipe's]",
            metavar="NAME",
        ),
    ] = None,
    references: Annotated[
        str | None,
        typer.Option(
            help="Folder of photographs of the people, a sub-folder for each.", metavar="DIR"
        ),
    ] = None,
    recipe: opt.Recipe = "face-pairs",
    set_: opt.Set = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """Faces of LQ scenes, each beside its restored self.

    What FaDeX learns degradations from. The LQ faces are cut out of their scenes, never resampled.
    """
    values = {"ref_fr": ref_fr, "references": references}
    overrides = [f"face_pairs.{key}={dumps(value)}" for key, value in values.items() if value]
    execute(
        recipe or "face-pairs",
        source,
        RunOptions(
            out,
            [*overrides, *(set_ or [])],
            limit,
            seed,
            executor,
            workers,
            ray_address,
            plan,
            json,
        ),
    )


app.command()(cc12m.cc12m)
app.command()(synthetic.synthetic)
app.command()(raw.raw)
