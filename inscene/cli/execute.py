"""The common end of every command that runs a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import typer

from inscene.cli.console import print_plan, print_summary
from inscene.cli.options import Executor
from inscene.errors import ExitCode


@dataclass(frozen=True)
class RunOptions:
    out: str
    overrides: Sequence[str] = ()
    limit: int | None = None
    seed: int | None = None
    executor: Executor = Executor.auto
    workers: int | None = None
    ray_address: str | None = None
    plan_only: bool = False
    as_json: bool = False


def execute(recipe_name: str, sources: Sequence[str], options: RunOptions) -> None:
    """Load, plan, run and report; exits with 1 where samples had errors."""
    from inscene.engine import run as engine
    from inscene.engine.progress import open_display
    from inscene.engine.registry import build
    from inscene.recipe import load_recipe

    overrides = list(options.overrides)
    if options.seed is not None:
        overrides.append(f"seed={options.seed}")
    recipe, source = load_recipe(recipe_name, overrides)
    plan = engine.plan(build(recipe, source), sources, options.out, options.limit)
    if options.plan_only:
        print_plan(plan, options.as_json)
        return
    workers = engine.Workers(options.executor.value, options.workers, options.ray_address)
    display = open_display(recipe.name, plan.inputs)
    try:
        summary = engine.run(plan, workers, display)
    finally:
        display.close()
    print_summary(summary, options.as_json)
    if summary.errors:
        raise typer.Exit(ExitCode.PARTIAL)
