"""Rows of the paper's tables, ``benchmarks/published.csv``: values as they were printed."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inscene.bench.leaderboard.ranking import Mark, Wins, marks, wins
from inscene.errors import UsageError
from inscene.quality.registry import METRICS
from inscene.shipped import shipped_folder
from inscene.suggest import did_you_mean

WINS = "Wins"


@dataclass(frozen=True)
class Column:
    key: str
    """Of the metric here; of what is none, the name that the paper uses."""
    title: str
    higher_is_better: bool | None = None
    """None for counts and times, which are not ranked."""


@dataclass(frozen=True)
class PublishedRow:
    method: str
    values: Mapping[str, str]
    """By the paper's name of the metric."""
    steps: str = ""
    """Of sampling, where the paper says."""

    @property
    def name(self) -> str:
        if not self.steps:
            return self.method
        return f"{self.method} ({self.steps} step{'' if self.steps == '1' else 's'})"


@dataclass(frozen=True)
class PublishedBlock:
    """What one table says of one dataset."""

    table: str
    dataset: str
    rows: tuple[PublishedRow, ...]

    @property
    def title(self) -> str:
        number = f"Table {self.table}" if self.table.isdigit() else self.table
        return f"{number}, {self.dataset}"

    @property
    def metrics(self) -> tuple[str, ...]:
        """In the paper's order; without the wins."""
        return tuple(dict.fromkeys(key for row in self.rows for key in row.values if key != WINS))

    @property
    def paired(self) -> bool:
        """Each two rows are partners, ranked by themselves, with a column of wins."""
        return any(WINS in row.values for row in self.rows)

    @property
    def groups(self) -> list[tuple[PublishedRow, ...]]:
        """Rows that are ranked together."""
        size = 2 if self.paired else len(self.rows)
        return [self.rows[start : start + size] for start in range(0, len(self.rows), size)]

    def marks(self, metric: str) -> dict[str, Mark]:
        """By method, from the numbers, not from the paper's shading."""
        higher = column_of(metric).higher_is_better
        found: dict[str, Mark] = {}
        if higher is None:
            return found
        for group in self.groups:
            shown = {row.method: row.values[metric] for row in group if metric in row.values}
            if len(shown) > 1:
                found |= marks(shown, higher)
        return found

    def wins(self) -> dict[str, Wins]:
        """By method, counted from the numbers; of a table with partners."""
        if not self.paired:
            return {}
        directions = {
            name: column_of(name).higher_is_better is True
            for name in self.metrics
            if column_of(name).higher_is_better is not None
        }
        return {
            row.method: wins(row.values, partner.values, directions)
            for pair in self.groups
            for row, partner in (pair, pair[::-1])
        }


@dataclass(frozen=True)
class Misprint:
    """A cell whose shading in the paper contradicts the paper's numbers."""

    table: str
    dataset: str
    metric: str
    shaded: str
    """The method that the paper shades as second best."""


MISPRINTS = (Misprint("8", "InScene Real Validation", "TOPIQ", "S3Diff**"),)
_ABSENT = {"7": "Its numbers are not in the text that the rows were taken from."}
_NAMES = {"PSNR": "psnr", "SSIM": "ssim", "TOPIQ": "topiq_nr", "CLIP-IQA": "clipiqa"}
_OTHERS = {"seconds_per_image": "s/image"}


def column_of(metric: str) -> Column:
    """What the paper's name of a metric stands for here. The paper names no variants: that its
    PSNR is of luma, say, is inferred (``docs/leaderboard.md``)."""
    key = _NAMES.get(metric, metric.lower())
    if key in METRICS:
        return Column(key, metric, METRICS[key].higher_is_better)
    return Column(metric, _OTHERS.get(metric, metric))


def misprints(block: PublishedBlock) -> list[str]:
    """In words."""
    found = []
    for one in MISPRINTS:
        if (one.table, one.dataset) != (block.table, block.dataset):
            continue
        ranked = block.marks(one.metric)
        second = next(name for name, mark in ranked.items() if mark is Mark.second)
        values = {row.method: row.values[one.metric] for row in block.rows}
        found.append(
            f"{one.metric}: the paper shades {one.shaded} ({values[one.shaded]}) as second best; "
            f"by its numbers it is {second} ({values[second]})."
        )
    return found


def load_published(table: str) -> list[PublishedBlock]:
    """The blocks of one table: ``2``, ``table2`` or ``sec4.2-complexity``. Raises
    :class:`UsageError` for a table that there is not."""
    blocks = _blocks()
    wanted = table.strip().lower().removeprefix("table").strip(" -_")
    found = [block for block in blocks if block.table == wanted]
    if not found:
        known = list(dict.fromkeys(block.table for block in blocks))
        names = [f"table{name}" if name.isdigit() else name for name in known]
        raise UsageError(
            f"no published table {table!r}",
            why=_ABSENT.get(wanted),
            next_step=f"Known: {', '.join(names)}." if wanted.isdigit() or not wanted
            else did_you_mean(table, names),
        )  # fmt: skip
    return found


@functools.cache
def _blocks() -> tuple[PublishedBlock, ...]:
    path = shipped_folder("benchmarks") / "published.csv"
    values: dict[tuple[str, str], dict[tuple[str, str], dict[str, str]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for cell in csv.DictReader(file):
            block = values.setdefault((cell["table"], cell["dataset"]), {})
            row = block.setdefault((cell["method"], cell["steps"]), {})
            row[cell["metric"]] = cell["value"]
    return tuple(
        PublishedBlock(
            table,
            dataset,
            tuple(PublishedRow(method, row, steps) for (method, steps), row in rows.items()),
        )
        for (table, dataset), rows in values.items()
    )


def datasets_as_rows(blocks: Sequence[PublishedBlock]) -> list[PublishedBlock]:
    """A table of datasets (Table 1) has one row in each block: as one block, they are comparable
    at a glance."""
    if len(blocks) < 2 or any(len(block.rows) > 1 for block in blocks):
        return list(blocks)
    rows = tuple(replace(block.rows[0], method=block.dataset) for block in blocks)
    return [PublishedBlock(blocks[0].table, "datasets", rows)]


def nearest(blocks: Sequence[PublishedBlock], suite: str) -> list[PublishedBlock]:
    """Those whose dataset shares the most words with a suite's name: all, where none shares any."""
    words = set(suite.lower().replace("_", "-").split("-"))
    shared = [len(words & set(block.dataset.lower().split())) for block in blocks]
    return [block for block, count in zip(blocks, shared, strict=True) if count == max(shared)]
