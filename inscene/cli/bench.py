"""``inscene bench`` and ``inscene leaderboard``"""

from __future__ import annotations

import enum
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, cast

import typer

from inscene.cli import options as opt
from inscene.cli.console import print_json, print_plans, print_summary, say
from inscene.cli.execute import run_shown
from inscene.cli.unbuilt import not_built
from inscene.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from inscene.bench.leaderboard import Format as TextFormat


class Format(enum.StrEnum):
    table = "table"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"
    html = "html"


def bench(
    out: opt.Out,
    method: Annotated[
        list[str],
        typer.Option(help="identity, bicubic, …, or folder:DIR with outputs; repeatable."),
    ],
    dataset: Annotated[str | None, typer.Option(help="Pairs to measure on; path or URL.")] = None,
    suite: Annotated[str | None, typer.Option(help="Named benchmark (not built yet).")] = None,
    metrics: Annotated[str, typer.Option(help="Comma-separated keys.")] = "psnr,psnr_rgb,ssim",
    limit: opt.Limit = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """Restore the LQ images of a dataset with each method, and score the results.

    One results dataset a method below --out; methods that are done are not computed again.
    """
    from inscene.bench.run import plan_bench
    from inscene.engine import run as engine

    if suite is not None:
        raise not_built("bench --suite")
    if dataset is None:
        raise UsageError("nothing to measure on", next_step="Give --dataset PAIRS.")
    keys = [key.strip() for key in metrics.split(",") if key.strip()]
    who = engine.Workers(executor.value, workers, ray_address)
    plans = list(plan_bench(dataset, method, keys, out, limit))
    if plan:
        print_plans(plans, json)
        return
    summaries = []
    for one in plans:
        summaries.append(run_shown(one, who, f"bench {one.out.rpartition('--')[2]}"))
        if not json:
            print_summary(summaries[-1], as_json=False)
    if json:
        print_json([asdict(summary) for summary in summaries])
    if any(summary.errors for summary in summaries):
        raise typer.Exit(ExitCode.PARTIAL)


def leaderboard(
    results: Annotated[list[str], typer.Argument(help="Folders that inscene bench wrote.")],
    format_: Annotated[Format, typer.Option("--format", "-f")] = Format.table,
    out: opt.OutFile = None,
) -> None:
    """Rank methods by their mean scores."""
    from inscene.bench.leaderboard import load_boards, render

    if format_ in (Format.latex, Format.html):
        raise not_built(f"leaderboard --format {format_.value}")
    text = render(load_boards(results), cast("TextFormat", format_.value))
    if out is None:
        print(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
        say(f"wrote {out}")
