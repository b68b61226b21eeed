"""``inscene leaderboard``"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inscene.cli import options as opt
from inscene.cli.console import say
from inscene.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from inscene.bench.leaderboard import Format as AnyFormat


class Format(enum.StrEnum):
    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    latex = "latex"
    html = "html"


class By(enum.StrEnum):
    identity = "identity"


def leaderboard(
    results: Annotated[
        list[str] | None, typer.Argument(help="Folders that inscene bench wrote.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", "-f")] = Format.table,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="Count wins against it, and test the differences."),
    ] = None,
    by: Annotated[By | None, typer.Option(help="A board for each person.")] = None,
    with_published: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="Show rows of the paper's table below, e.g. table2."),
    ] = None,
    published: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Print a table of the paper, and no more.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD", help="Older results: exit with 5 if a metric got worse than "
                     "them by more than its interval; repeatable."),
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, metavar="N", help="Samples to look at, on an HTML page.")
    ] = 6,
    out: opt.OutFile = None,
) -> None:  # fmt: skip
    """Rank methods by their mean scores, with 95 % intervals."""
    _require_one_job(results, published, against, baseline or by or with_published)
    kind: AnyFormat = format_.value
    if published is not None:
        from inscene.bench.leaderboard import load_published, render_published

        _write(render_published(load_published(published), kind), out)
        return
    if against:
        _against(results or [], against, kind, out)
        return

    from inscene.bench.examples import load_examples
    from inscene.bench.leaderboard import boards_of, load_published, render
    from inscene.bench.results import load_results

    rows = load_published(with_published) if with_published is not None else ()
    found = load_results(results or [])
    boards = boards_of(found, by=by.value if by else None, baseline=baseline)
    shown = load_examples(found, examples) if format_ is Format.html else []
    _write(render(boards, kind, published=rows, examples=shown), out)


def _require_one_job(
    results: list[str] | None, published: str | None, against: list[str] | None, of_boards: object
) -> None:
    if published is not None:
        if results or against or of_boards:
            raise UsageError(
                "prints a table of the paper and no more", where="--published",
                next_step="For its rows beside results of yours: --with-published.",
            )  # fmt: skip
    elif not results:
        raise UsageError(
            "no results to rank",
            next_step="Name the folder of inscene bench --out, or a table: --published table2.",
        )
    elif against and of_boards:
        raise UsageError(
            "compares, and ranks nothing", where="--against",
            next_step="Leave --baseline, --by and --with-published out.",
        )  # fmt: skip


def _against(new: list[str], old: list[str], format_: AnyFormat, out: Path | None) -> None:
    from inscene.bench.leaderboard import changes, only_in_one, render_changes
    from inscene.bench.results import load_results

    now, before = load_results(new), load_results(old)
    found = changes(now, before)
    _write(render_changes(found, format_, only_in_one(now, before)), out)
    if regressions := sum(change.regression for change in found):
        say(f"{regressions} of {len(found)} got worse")
        raise typer.Exit(ExitCode.VERIFICATION)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        print(text)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n", encoding="utf-8")
    say(f"wrote {out}")
