"""``inscene verify`` and ``inscene funnel``"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from inscene.cli import options as opt
from inscene.cli.console import print_json
from inscene.cli.counter import counter
from inscene.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from inscene.degrade.verify import Replayed


def verify(
    dataset: opt.Dataset,
    replay: Annotated[
        str | None,
        typer.Option(help="Degrade N rows of pairs, or all, again and compare.", metavar="N|all"),
    ] = None,
    json: opt.Json = False,
) -> None:
    """Check every file of a dataset against the records of its run.

    Exits with 5 where a file is missing, changed or unaccounted for, or where a degraded image does
    not come out again as it is stored.
    """
    from inscene.dataset.verify import verify as check

    rows = _rows_to_replay(replay)
    verdict = check(dataset)
    replayed = None if rows is None or verdict.problems else _replay(dataset, rows)
    problems = [*verdict.problems, *(replayed.problems if replayed else ())]
    if json:
        facts = asdict(verdict)
        print_json({**facts, "replayed": asdict(replayed)} if replayed else facts)
    else:
        for problem in problems:
            print(f"problem: {problem}")
        state = "sound" if not problems else f"{len(problems)} problems"
        print(
            f"{dataset}: {verdict.kind}, {state} · {verdict.shards} shards · {verdict.inputs} "
            f"inputs = {verdict.kept} kept + {verdict.dropped} dropped + {verdict.errors} errors "
            f"· {verdict.rows} rows"
        )
        if replayed:
            same = replayed.rows - len(replayed.problems)
            print(f"replayed: {same} of {replayed.rows} rows bit for bit (of {replayed.of})")
        if verdict.table_hash:
            print(f"table hash: {verdict.table_hash}")
    if problems:
        raise typer.Exit(ExitCode.VERIFICATION)


def _rows_to_replay(given: str | None) -> int | None:
    if given is None:
        return None
    if given == "all":
        return sys.maxsize
    if not given.isdecimal() or int(given) < 1:
        raise UsageError(f"--replay takes a number or all, not {given!r}")
    return int(given)


def _replay(dataset: str, sample: int) -> Replayed:
    from inscene.degrade.verify import open_pairs, replay_rows

    table = open_pairs(dataset)
    rows = table.row_count()
    wanted = min(sample, rows)
    with counter("replay", wanted) as count:
        return replay_rows(table, rows, wanted, count)


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
