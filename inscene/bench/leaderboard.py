"""Means of results, side by side: a board for each suite, a row for each method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from inscene.bench.results import load_results
from inscene.errors import UsageError
from inscene.quality.registry import METRICS, Metric

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["table", "markdown", "csv"]


@dataclass(frozen=True)
class Cell:
    mean: float
    scored: int
    """Samples with a value."""


@dataclass(frozen=True)
class Line:
    method: str
    samples: int
    """Inputs of the run, those that failed included."""
    cells: dict[str, Cell]
    """By metric; a metric without any value has none."""
    restore_s: float | None
    """Median wall seconds of the method, a sample."""


@dataclass(frozen=True)
class Board:
    suite: str
    metrics: tuple[Metric, ...]
    lines: tuple[Line, ...]

    @property
    def samples(self) -> int:
        """Of the method that was run on the most."""
        return max(line.samples for line in self.lines)

    def complete(self, line: Line, metric: str) -> bool:
        """Every sample has a value: only then may the mean be ranked beside others."""
        return metric in line.cells and line.cells[metric].scored == self.samples

    def best(self, metric: Metric) -> set[str]:
        """The methods with the best complete mean, equal at the displayed precision."""
        means = {
            line.method: round(line.cells[metric.key].mean, metric.decimals)
            for line in self.lines
            if self.complete(line, metric.key)
        }
        if not means:
            return set()
        top = max(means.values()) if metric.higher_is_better else min(means.values())
        return {method for method, mean in means.items() if mean == top}


def load_boards(locations: Sequence[str]) -> list[Board]:
    """The boards of some results folders. Raises as :func:`inscene.bench.results.load_results`."""
    import pandas as pd

    results = load_results(locations)
    frames = [one.frame.assign(suite=one.suite, method=one.method) for one in results]
    everything = pd.concat([frame for frame in frames if len(frame)] or frames)
    samples = {(one.suite, one.method): one.samples for one in results}
    suites = sorted({suite for suite, _ in samples})
    return [_board(suite, everything[everything["suite"] == suite], samples) for suite in suites]


def _board(suite: str, frame: pd.DataFrame, samples: dict[tuple[str, str], int]) -> Board:
    present = set(frame["metric"])
    if not present:
        raise UsageError("no method has a value: every sample failed", where=suite)
    metrics = tuple(metric for key, metric in METRICS.items() if key in present)
    lines = []
    for method in sorted(method for of, method in samples if of == suite):
        rows = frame[frame["method"] == method]
        values = rows.groupby("metric")["value"].agg(["mean", "count"])
        cells = {
            str(metric): Cell(float(row["mean"]), int(row["count"]))
            for metric, row in values.iterrows()
            if row["count"]
        }
        seconds = None if rows.empty else float(rows["restore_s"].median())
        lines.append(Line(method, samples[suite, method], cells, seconds))
    first = metrics[0]
    worst = float("-inf") if first.higher_is_better else float("inf")

    def place(line: Line) -> tuple[float, str]:
        mean = line.cells[first.key].mean if first.key in line.cells else worst
        return (-mean if first.higher_is_better else mean, line.method)

    return Board(suite, metrics, tuple(sorted(lines, key=place)))


def render(boards: Sequence[Board], format_: Format) -> str:
    """The boards as text for a terminal, as Markdown or as CSV."""
    if format_ == "csv":
        return _csv(boards)
    parts = [_markdown(board) if format_ == "markdown" else _table(board) for board in boards]
    return "\n\n".join(parts)


_INCOMPLETE = "* not every sample has a value: not ranked"


def _cells(board: Board, line: Line, mark_best: str) -> tuple[list[str], bool]:
    """The line's cells as text; whether one of them is incomplete. ``mark_best`` wraps the best."""
    texts, incomplete = [], False
    for metric in board.metrics:
        cell = line.cells.get(metric.key)
        if cell is None:
            texts.append("n/a")
            continue
        text = f"{cell.mean:.{metric.decimals}f}"
        if not board.complete(line, metric.key):
            text, incomplete = f"{text}* (n={cell.scored})", True
        elif line.method in board.best(metric):
            text = mark_best.format(text)
        texts.append(text)
    return texts, incomplete


def _heads(board: Board) -> list[str]:
    heads = [f"{m.title} {'↑' if m.higher_is_better else '↓'}" for m in board.metrics]
    return ["method", *heads, "n", "s/image"]


def _row(board: Board, line: Line, mark_best: str) -> tuple[list[str], bool]:
    cells, incomplete = _cells(board, line, mark_best)
    seconds = "" if line.restore_s is None else f"{line.restore_s:.3f}"
    return [line.method, *cells, str(line.samples), seconds], incomplete


def _table(board: Board) -> str:
    import io

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(board.suite), title_justify="left", title_style="bold")
    for position, head in enumerate(_heads(board)):
        if position == 0:
            # A narrow terminal folds names, never numbers.
            table.add_column(head, overflow="fold", min_width=10)
        else:
            table.add_column(head, justify="right", no_wrap=True, min_width=len(head))
    notes = set()
    for line in board.lines:
        row, incomplete = _row(board, line, "[bold green]{}[/]")
        table.add_row(escape(row[0]), *row[1:])
        notes |= {_INCOMPLETE} if incomplete else set()
    table.caption, table.caption_justify = " ".join(notes) or None, "left"
    terminal = Console()
    text = io.StringIO()
    Console(
        file=text,
        force_terminal=terminal.is_terminal,
        width=terminal.width if terminal.is_terminal else _AS_WIDE_AS_IT_NEEDS,
    ).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


_AS_WIDE_AS_IT_NEEDS = 1000


def _markdown(board: Board) -> str:
    heads = _heads(board)
    lines = [
        f"**{board.suite}**",
        "",
        "| " + " | ".join(heads) + " |",
        "|---" + "|---:" * (len(heads) - 1) + "|",
    ]
    notes = set()
    for line in board.lines:
        row, incomplete = _row(board, line, "**{}**")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        notes |= {_INCOMPLETE} if incomplete else set()
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _csv(boards: Sequence[Board]) -> str:
    """Long form, unrounded."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["suite", "method", "metric", "mean", "scored", "samples"])
    for board in boards:
        for line in board.lines:
            for metric, cell in line.cells.items():
                writer.writerow(
                    [board.suite, line.method, metric, cell.mean, cell.scored, line.samples]
                )
    return text.getvalue().rstrip("\n")
