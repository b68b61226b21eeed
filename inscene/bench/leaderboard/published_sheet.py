"""Published tables as sheets."""

from __future__ import annotations

from collections.abc import Sequence

from inscene.bench.leaderboard.published import (
    WINS,
    PublishedBlock,
    PublishedRow,
    column_of,
    datasets_as_rows,
    misprints,
)
from inscene.bench.leaderboard.ranking import Mark
from inscene.bench.leaderboard.sheet import DOWN, UP, Entry, Head, Row, Section, Sheet

PUBLISHED = "Published, not measured here: values as the paper prints them."
_ARROWS = {True: UP, False: DOWN, None: ""}


def published_sheets(blocks: Sequence[PublishedBlock]) -> list[Sheet]:
    return [_sheet(block) for block in datasets_as_rows(blocks)]


def _sheet(block: PublishedBlock) -> Sheet:
    unranked = block.dataset == "datasets"
    marked = {name: {} if unranked else block.marks(name) for name in block.metrics}
    columns = [column_of(name) for name in block.metrics]
    heads = [Head("dataset" if unranked else "method")]
    heads += [Head(one.title, "" if unranked else _ARROWS[one.higher_is_better]) for one in columns]
    heads += [Head("wins")] if block.paired else []
    sections = tuple(
        Section(tuple(Row(row.name, _entries(block, row, marked)) for row in group))
        for group in block.groups
    )
    return Sheet(
        title=block.title,
        heads=tuple(heads),
        sections=sections,
        remarks=(PUBLISHED, *misprints(block)),
    )


def _entries(
    block: PublishedBlock, row: PublishedRow, marked: dict[str, dict[str, Mark]]
) -> tuple[Entry, ...]:
    entries = []
    for name in block.metrics:
        value = row.values.get(name)
        if value is None:
            entries.append(Entry("–"))
        else:
            mark = marked[name].get(row.method, Mark.none)
            entries.append(Entry(value, mark=mark, number=float(value)))
    if block.paired:
        entries.append(Entry(row.values.get(WINS, "–")))
    return tuple(entries)
