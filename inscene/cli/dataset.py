"""``inscene verify`` and ``inscene funnel``"""

from __future__ import annotations

from dataclasses import asdict

import typer

from inscene.cli import options as opt
from inscene.cli.console import print_json
from inscene.errors import ExitCode


def verify(dataset: opt.Dataset, json: opt.Json = False) -> None:
    """Check every file of a dataset against the records of its run.

    Exits with 5 where a file is missing, changed or unaccounted for.
    """
    from inscene.dataset.verify import verify as check

    verdict = check(dataset)
    if json:
        print_json(asdict(verdict))
    else:
        for problem in verdict.problems:
            print(f"problem: {problem}")
        state = "sound" if not verdict.problems else f"{len(verdict.problems)} problems"
        print(
            f"{dataset}: {verdict.kind}, {state} · {verdict.shards} shards · {verdict.inputs} "
            f"inputs = {verdict.kept} kept + {verdict.dropped} dropped + {verdict.errors} errors "
            f"· {verdict.rows} rows"
        )
        if verdict.table_hash:
            print(f"table hash: {verdict.table_hash}")
    if verdict.problems:
        raise typer.Exit(ExitCode.VERIFICATION)


def funnel(dataset: opt.Dataset, json: opt.Json = False) -> None:
    """Say where every input went: kept, or refused by which step and why."""
    from inscene.dataset.funnel import funnel as add_up

    result = add_up(dataset)
    if json:
        print_json(asdict(result))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("step", "reason", "inputs", "left", box=None, header_style="bold")
    left = result.inputs - result.unfinished
    table.add_row("", "inputs", str(result.inputs), str(result.inputs))
    if result.unfinished:
        table.add_row("", "not done yet", str(-result.unfinished), str(left))
    for loss in result.losses:
        left -= loss.count
        reason = f"{loss.reason} (error)" if loss.kind == "error" else loss.reason
        table.add_row(loss.step, reason, str(-loss.count), str(left))
    table.add_row("", "kept", str(result.kept), "", style="bold")
    for column in table.columns[2:]:
        column.justify = "right"
    Console().print(table, markup=False)
