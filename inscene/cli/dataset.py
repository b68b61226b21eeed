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
    from inscene.engine.what_if import WhatIf


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
        shards = f"{verdict.shards} shard{'' if verdict.shards == 1 else 's'}"
        print(
            f"{dataset}: {verdict.kind}, {state} · {shards} · {verdict.inputs} "
            f"inputs = {verdict.kept} kept + {verdict.dropped} dropped + {verdict.errors} errors "
            f"· {verdict.rows} rows"
        )
        if verdict.forgotten:
            print(f"forgotten for good: {verdict.forgotten} of the dropped")
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


def funnel(
    dataset: opt.Dataset,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="What if: another threshold, e.g. identity.min=0.45; repeatable.",
        ),
    ] = None,
    json: opt.Json = False,
) -> None:
    """Say where every input went: kept, or refused by which step and why.

    --set tells, from the stored scores, what other thresholds would have made of it.
    """
    from inscene.dataset.funnel import funnel as add_up

    result = add_up(dataset)
    asked = _what_if(dataset, set_) if set_ else None
    if json:
        facts = asdict(result)
        print_json({**facts, "what_if": asdict(asked)} if asked else facts)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("step", "reason", "inputs", "left", box=None, header_style="bold")
    left = result.inputs - result.unfinished
    table.add_row("", "inputs", str(result.inputs), str(result.inputs))
    if result.unfinished:
        table.add_row("", "not done yet", str(-result.unfinished), str(left))
    for name in result.closing:
        table.add_row(name, "still to do", "", "")
    for loss in result.losses:
        left -= loss.count
        reason = f"{loss.reason} (error)" if loss.kind == "error" else loss.reason
        table.add_row(loss.step, reason, str(-loss.count), str(left))
    table.add_row("", "kept", str(result.kept), "", style="bold")
    for column in table.columns[2:]:
        column.justify = "right"
    Console().print(table, markup=False)
    if asked is not None:
        _print_what_if(asked)


def _what_if(dataset: str, settings: list[str]) -> WhatIf:
    from inscene.engine.what_if import what_if

    return what_if(dataset, settings)


def _print_what_if(asked: WhatIf) -> None:
    print()
    for change in asked.changes:
        print(f"With {change.key} {_written(change.now)} in place of {_written(change.was)}:")
    lost, gained, unknown = asked.count("lost"), asked.count("gained"), asked.count("unknown")
    print(f"  {asked.kept - lost - asked.kept_unknown} of {asked.kept} kept rows would stay")
    for reason, rows in sorted(asked.lost.items()):
        print(f"  {len(rows):>6}  kept rows would be dropped: {reason}")
    for reason, rows in sorted(asked.gained.items()):
        print(f"  {len(rows):>6}  dropped rows would pass: {reason}")
    if gained and asked.not_asked:
        print(f"          what {', '.join(asked.not_asked)} would say of them is not known")
    if asked.other_image:
        print(f"  {len(asked.other_image):>6}  kept rows would have another image, an earlier try")
    for why, rows in sorted(asked.unknown.items()):
        print(f"  {len(rows):>6}  rows of which nobody knows: {why}")
    if not (lost or gained or unknown or asked.other_image):
        print("  nothing would change")


def _written(value: object) -> str:
    return "off" if value is None else str(value)
