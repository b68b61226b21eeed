"""``inscene split``"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inscene.cli import options as opt
from inscene.cli.console import print_json, say
from inscene.cli.execute import RunOptions, built_recipe, run_shown
from inscene.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from inscene.gallery.split_run import SplitPlan

EVERY = 500


def split(
    dataset: opt.Dataset,
    out: opt.Out,
    val: Annotated[
        float | None, typer.Option(help="Share of the people for validation.  [default: recipe's]")
    ] = None,
    test: Annotated[
        float | None, typer.Option(help="Share of the people for tests.  [default: recipe's]")
    ] = None,
    list_: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="Who goes where: CSV with columns identity and split, or YAML.",
        ),
    ] = None,
    others: Annotated[
        str | None,
        typer.Option(metavar="SPLIT", help="With --list: where those go whom it does not name."),
    ] = None,
    max_distance: Annotated[
        int | None,
        typer.Option(min=0, max=32, help="Bits of the perceptual hash within which photos stay "
                     "together.  [default: recipe's]"),
    ] = None,
    recipe: opt.Recipe = "split",
    set_: opt.Set = None,
    seed: opt.Seed = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:  # fmt: skip
    """Write a dataset anew in splits that share no person and no photo.

    By a hash of each person's name, or by a list. Rows and images are copied as they are.
    """
    from inscene.engine import run as engine
    from inscene.gallery.split_run import STEP, plan_split

    if others is not None and list_ is None:
        raise UsageError("--others is for whoever --list does not name, and there is no --list")
    shares = [name for name, value in (("--val", val), ("--test", test)) if value is not None]
    if list_ is not None and shares:
        raise UsageError(f"--list and {shares[0]} exclude each other")

    given = {"val": val, "test": test, "others": others, "max_distance": max_distance}
    overrides = [
        f"{STEP}.{key}={dumps(value)}" for key, value in given.items() if value is not None
    ]
    options = RunOptions(
        out, [*overrides, *(set_ or [])], None, seed, executor, workers, ray_address, plan, json
    )
    hashed = 0

    def count() -> None:
        nonlocal hashed
        hashed += 1
        if hashed % EVERY == 0:
            say(f"split: {hashed} images without a phash looked at")

    found = plan_split(dataset, out, built_recipe(recipe or "split", options), list_, count)
    for note in found.notes:
        say(f"note: {note}")
    if not plan:
        run = engine.Workers(options.executor.value, options.workers, options.ray_address)
        summary = run_shown(found.plan, run, "split")
        found.check()
        if summary.errors:
            _report(found, json=json)
            raise typer.Exit(ExitCode.PARTIAL)
    _report(found, json=json)


def _report(found: SplitPlan, *, json: bool) -> None:
    counts = found.counts
    if json:
        print_json({"out": found.plan.out, "splits": counts, "notes": found.notes})
        return
    print(f"{found.plan.out}: {len(found.samples)} samples in {len(found.components)} groups that "
          "share no person and no photo")  # fmt: skip
    for name, tally in counts.items():
        print(f"  {name:<10} {tally['samples']:>7} samples  {tally['identities']:>6} people")
