"""``inscene build cc12m``"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from inscene.cli import options as opt
from inscene.cli.console import say
from inscene.cli.execute import RunOptions, built_recipe, execute_plan

if TYPE_CHECKING:
    from inscene.dataset.sources import Input


def cc12m(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folder of tars as img2dataset writes them, tar, folder of images, or dataset.",
        ),
    ],
    out: opt.Out,
    licence: opt.Licence = None,
    consent: opt.Consent = None,
    sidecar: opt.SidecarFile = None,
    recipe: opt.Recipe = "cc12m",
    set_: opt.Set = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """Scenes from photographs of the web that show a person.

    Tars are read in place and never unpacked. Of what is known of a photo, caption and address are
    kept, EXIF is not; every photo ends as a scene or with a reason.
    """
    from inscene.dataset.sources import list_inputs
    from inscene.engine import run as engine
    from inscene.gallery.inputs import Rights
    from inscene.gallery.needs import check_weights, lacking

    options = RunOptions(out, set_ or [], limit, seed, executor, workers, ray_address, plan, json)
    built = built_recipe(recipe or "cc12m", options)
    missing = lacking(built) if plan else None
    to_run = missing is None or not missing.weights  # a plan to look at needs no weights
    if to_run:
        check_weights(built)
    rights = Rights(sidecar, licence, consent)

    def listing(sources: Sequence[str], needs: Sequence[str]) -> list[Input]:
        return rights.described(list_inputs(sources, needs), sources)

    planned = engine.plan(built, source, out, limit, listing=listing, to_run=to_run)
    for note in rights.notes() if limit is None else ():
        say(f"note: {note}")
    execute_plan(planned, options, missing)
