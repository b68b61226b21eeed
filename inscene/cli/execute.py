"""The common end of every command that runs a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from inscene.cli.console import print_plans, print_summary
from inscene.cli.options import Executor
from inscene.errors import ExitCode, InterruptedRunError

if TYPE_CHECKING:
    from inscene.engine.registry import BuiltRecipe
    from inscene.engine.run import Plan, Summary, Workers
    from inscene.gallery.needs import Lacking


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


def run_shown(plan: Plan, workers: Workers, title: str) -> Summary:
    """Run with the progress display; Ctrl-C ends it with a word on how to go on."""
    from inscene.engine import run as engine
    from inscene.engine.progress import open_display

    display = open_display(title, plan.inputs)
    try:
        return engine.run(plan, workers, display)
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted", next_step="The same command resumes.") from None
    finally:
        display.close()


def execute(recipe_name: str, sources: Sequence[str], options: RunOptions) -> None:
    """Load, plan, run and report; exits with 1 where samples had errors."""
    from inscene.engine import run as engine

    plan = engine.plan(built_recipe(recipe_name, options), sources, options.out, options.limit)
    execute_plan(plan, options)


def built_recipe(recipe_name: str, options: RunOptions) -> BuiltRecipe:
    """The recipe with what the options change in it."""
    from inscene.engine.registry import build
    from inscene.recipe import load_recipe

    overrides = list(options.overrides)
    if options.seed is not None:
        overrides.append(f"seed={options.seed}")
    return build(*load_recipe(recipe_name, overrides))


def execute_plan(plan: Plan, options: RunOptions, missing: Lacking | None = None) -> None:
    """Run and report, or only say what would be done, with the weights that are missing for it;
    exits with 1 where samples had errors."""
    from inscene.engine import run as engine

    if options.plan_only:
        print_plans([plan], options.as_json, missing)
        return
    workers = engine.Workers(options.executor.value, options.workers, options.ray_address)
    summary = run_shown(plan, workers, plan.built.recipe.name)
    print_summary(summary, options.as_json)
    if summary.errors:
        raise typer.Exit(ExitCode.PARTIAL)
