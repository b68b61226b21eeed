"""``inscene build raw``"""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inscene.cli import options as opt
from inscene.cli.console import say
from inscene.cli.execute import RunOptions, built_recipe, execute_plan

if TYPE_CHECKING:
    from inscene.dataset.sources import Input
    from inscene.engine.run import Plan

NAMED = 3
"""People in a note, at most."""


def raw(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folder of RAW files, with a sub-folder for each person, or RAW file; path or "
            "URL.",
        ),
    ],
    out: opt.Out,
    references: Annotated[
        str | None,
        typer.Option(
            help="Clean photos of the same people: a dataset of build gallery, or a folder with a "
            "sub-folder for each.",
            metavar="GALLERY",
        ),
    ] = None,
    licence: opt.Licence = None,
    consent: opt.Consent = None,
    sidecar: Annotated[
        Path | None,
        typer.Option(
            help="CSV, JSON or YAML with licence, consent and motion_blur by sample id. "
            "[default: sidecar.* in SOURCE]",
            metavar="FILE",
        ),
    ] = None,
    recipe: opt.Recipe = "raw",
    set_: opt.Set = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """Degraded inputs from RAW captures.

    LibRaw develops them into sRGB with the camera's white balance; nothing is brightened and no
    noise removed. Each row records camera, exposure and development; other files are left out.
    """
    from inscene.engine import run as engine
    from inscene.gallery.inputs import Rights
    from inscene.raw.inputs import list_captures

    overrides = [f"references.dataset={dumps(references)}"] if references else []
    options = RunOptions(
        out, [*overrides, *(set_ or [])], limit, seed, executor, workers, ray_address, plan, json
    )
    rights = Rights(sidecar, licence, consent)

    def listing(sources: Sequence[str], needs: Sequence[str]) -> list[Input]:
        return rights.described(list_captures(sources), sources, people=True)

    built = built_recipe(recipe or "raw", options)
    planned = engine.plan(built, source, out, limit, listing=listing)
    for note in rights.notes() if limit is None else ():
        say(f"note: {note}")
    for note in _strangers(planned):
        say(f"note: {note}")
    execute_plan(planned, options)


def _strangers(planned: Plan) -> list[str]:
    """Of whom the references have nothing: most often a sub-folder that is named otherwise."""
    from inscene.raw.steps.references import References

    columns = (dict(entry.columns) for _, inputs in planned.shards for entry in inputs)
    people = {str(one["identity"]) for one in columns if one.get("identity")}
    notes = []
    for _, step in planned.built.steps:
        if isinstance(step, References) and (unknown := step.strangers(people)):
            named = ", ".join(repr(one) for one in unknown[:NAMED])
            more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
            notes.append(
                f"{step.dataset}: no photo of {named}{more}, of {len(people)} captured; people "
                "are matched by the names of their sub-folders"
            )
    return notes
