"""Sheets as tables for a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from inscene.bench.leaderboard.ranking import Mark
from inscene.bench.leaderboard.sheet import Entry, Section, Sheet, superscript

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_AS_WIDE_AS_IT_NEEDS = 1000
_STYLES = {Mark.best: "bold green", Mark.second: "underline", Mark.none: ""}
_SIGNS = {Mark.best: "●", Mark.second: "○", Mark.none: " "}
_LEGEND = {Mark.best: "best", Mark.second: "second best"}
_PUBLISHED = "dim italic"
_SMALL = "dim not bold not underline"


def terminal(sheet: Sheet) -> str:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(sheet.title), title_justify="left", title_style="bold")
    for position, head in enumerate(sheet.heads):
        if position == 0:
            # A narrow terminal folds names, never numbers.
            table.add_column(escape(str(head)), overflow="fold", min_width=10)
        else:
            table.add_column(
                escape(str(head)), justify="right", no_wrap=True, min_width=len(str(head))
            )
    marked = {
        column
        for section in sheet.sections
        for row in section.rows
        for column, entry in enumerate(row.entries)
        if entry.mark
    }
    for section in sheet.sections:
        if table.row_count:
            table.add_section()
        _add(table, section, marked)
    lines = [f"{superscript((number,)).strip()} {text}" for number, text in
             enumerate(sheet.notes, 1)]  # fmt: skip
    marks = {entry.mark for section in sheet.sections for row in section.rows
             for entry in row.entries}  # fmt: skip
    signs = [f"{_SIGNS[mark]} {text}" for mark, text in _LEGEND.items() if mark in marks]
    lines += ["  ".join(signs)] if signs else []
    own = Console()
    text = io.StringIO()
    console = Console(
        file=text,
        force_terminal=own.is_terminal,
        width=own.width if own.is_terminal else _AS_WIDE_AS_IT_NEEDS,
    )
    console.print(table)
    for line in (*lines, *sheet.remarks):
        console.print(line, markup=False, highlight=False, style="dim")
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _add(table: Table, section: Section, marked: set[int]) -> None:
    from rich.text import Text

    base = _PUBLISHED if section.published else ""
    if section.title:
        # Two lines: the column of names is as wide as its longest.
        table.add_row(Text(section.title.replace(": ", ":\n", 1), style="dim"))
    for row in section.rows:
        cells = [_cell(entry, base, column in marked) for column, entry in enumerate(row.entries)]
        table.add_row(Text(row.name, style=base), *cells)


def _cell(entry: Entry, base: str, marked: bool) -> Text:
    from rich.text import Text

    cell = Text(entry.text, style=_STYLES[entry.mark] or base)
    cell.append(superscript(entry.notes), style=_SMALL)
    # Also where there are no colours; in a column that has marks, numbers stay in line.
    slot = f" {_SIGNS[entry.mark]}" if marked else ""
    cell.append(slot)
    if entry.detail:
        cell.append(f"\n{entry.detail}{' ' * len(slot)}", style=_SMALL)
    return cell
