"""Leaderboards for programs: long CSV rows and one JSON document, both unrounded."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from inscene import __version__
from inscene.bench.leaderboard.board import Board, Cell, Line
from inscene.bench.leaderboard.intervals import RESAMPLES, SEED
from inscene.bench.leaderboard.published import PublishedBlock, column_of

SCHEMA = "inscene.bench/1"
"""Raised with every change that a reader must know of."""

_COLUMNS = (
    "suite", "method", "metric", "mean", "scored", "samples", "low", "high", "clusters", "missing",
    "identity", "source",
)  # fmt: skip


def to_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def to_json(document: Mapping[str, Any]) -> str:
    return json.dumps({"schema": SCHEMA, "inscene": __version__, **document}, indent=1,
                      ensure_ascii=False, allow_nan=False, default=str)  # fmt: skip


def boards_csv(boards: Sequence[Board], published: Sequence[PublishedBlock]) -> str:
    rows = [row for board in boards for row in _rows(board)]
    return to_csv([*rows, *published_rows(published)], _COLUMNS)


def published_csv(blocks: Sequence[PublishedBlock]) -> str:
    return to_csv(list(published_rows(blocks)), _COLUMNS)


def _rows(board: Board) -> Iterator[dict[str, Any]]:
    for line in board.lines:
        for metric in board.metrics:
            cell = line.cell(metric.key)
            if cell is None:
                continue
            missing = dict(line.failures) if line.failed_everywhere else _missing(cell)
            yield {
                "suite": board.suite,
                "method": line.method,
                "metric": metric.key,
                "mean": cell.mean,
                "scored": cell.scored,
                "samples": line.samples,
                "low": cell.interval.low if cell.interval else None,
                "high": cell.interval.high if cell.interval else None,
                "clusters": board.clusters,
                "missing": "; ".join(f"{why}: {count}" for why, count in missing.items()),
                "identity": board.identity,
                "source": "measured",
            }


def _missing(cell: Cell) -> dict[str, Any]:
    if cell.unavailable is not None:
        return {str(cell.unavailable.get("reason", "unavailable")): "all"}
    return dict(cell.missing)


def published_rows(blocks: Sequence[PublishedBlock]) -> Iterator[dict[str, Any]]:
    """Values verbatim, metrics under the keys that they stand for here."""
    for block in blocks:
        for row in block.rows:
            for name, value in row.values.items():
                yield {
                    "suite": block.title,
                    "method": row.name,
                    "metric": column_of(name).key,
                    "mean": value,
                    "source": "published",
                }


def boards_json(boards: Sequence[Board], published: Sequence[PublishedBlock]) -> str:
    return to_json(
        {
            "resamples": RESAMPLES,
            "seed": SEED,
            "boards": [_board(board) for board in boards],
            "published": [published_facts(block) for block in published],
        }
    )


def _board(board: Board) -> dict[str, Any]:
    return {
        "suite": board.suite,
        "identity": board.identity,
        "samples": board.samples,
        "clusters": board.clusters,
        "clusters_are": board.clusters_are,
        "baseline": board.baseline,
        "metrics": [
            {
                "key": metric.key,
                "title": metric.title,
                "higher_is_better": metric.higher_is_better,
                "of": metric.of,
                "decimals": metric.decimals,
            }
            for metric in board.metrics
        ],
        "methods": [_line(board, line) for line in board.lines],
    }


def _line(board: Board, line: Line) -> dict[str, Any]:
    won = board.wins(line)
    return {
        "method": line.method,
        "samples": line.samples,
        "restore_s": line.restore_s,
        "failures": dict(line.failures),
        "scores": {
            key: {
                "mean": cell.mean,
                "scored": cell.scored,
                "interval": asdict(cell.interval) if cell.interval else None,
                "mark": board.marks(metric).get(line.method, "") or None,
                "missing": dict(cell.missing),
                "unavailable": dict(cell.unavailable) if cell.unavailable else None,
            }
            for metric in board.metrics
            for key, cell in line.cells.items()
            if key == metric.key
        },
        "wins": None
        if won is None
        else {**asdict(won), "significant": board.significant_wins(line)},
        "against_baseline": {key: asdict(one) for key, one in line.against_baseline.items()},
        "facts": dict(line.facts),
    }


def published_facts(block: PublishedBlock) -> dict[str, Any]:
    return {
        "table": block.table,
        "dataset": block.dataset,
        "rows": [
            {"method": row.method, "steps": row.steps or None, "values": dict(row.values)}
            for row in block.rows
        ],
    }


def published_json(blocks: Sequence[PublishedBlock]) -> str:
    return to_json({"published": [published_facts(block) for block in blocks]})
