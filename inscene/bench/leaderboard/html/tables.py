"""A sheet as a table whose columns sort."""

from __future__ import annotations

from html import escape

from inscene.bench.leaderboard.ranking import Mark
from inscene.bench.leaderboard.sheet import DOWN, UP, Entry, Head, Section, Sheet

_MEANING = {Mark.best: "best", Mark.second: "second best"}
_BETTER = {UP: "higher is better", DOWN: "lower is better"}


def table(sheet: Sheet) -> str:
    heads = "".join(_head(head) for head in sheet.heads)
    bodies = "".join(_body(section, len(sheet.heads)) for section in sheet.sections)
    # A region that scrolls must be reachable with the keyboard.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(sheet.title)}">'
        f'<table class="board"><thead><tr>{heads}</tr></thead>{bodies}</table></div>'
        f"{_legend(sheet)}{_notes(sheet)}"
    )


def _head(head: Head) -> str:
    better = _BETTER.get(head.arrow, "")
    title = f' title="{better}"' if better else ""
    arrow = f'<span class="arrow" aria-label="{better}">{head.arrow}</span>' if better else ""
    direction = {UP: "descending", DOWN: "ascending"}.get(head.arrow, "")
    return (
        f'<th scope="col" data-first="{direction}"><button type="button"{title}>'
        f"{escape(head.title)}{arrow}</button></th>"
    )


def _body(section: Section, width: int) -> str:
    kind = ' class="published"' if section.published else ""
    rows = []
    if section.title:
        rows.append(
            f'<tr class="title"><th scope="colgroup" colspan="{width}">'
            f"<span>{escape(section.title)}</span></th></tr>"
        )
    for row in section.rows:
        cells = "".join(_cell(entry) for entry in row.entries)
        rows.append(f'<tr><th scope="row">{escape(row.name)}</th>{cells}</tr>')
    return f"<tbody{kind}>{''.join(rows)}</tbody>"


def _cell(entry: Entry) -> str:
    number = "" if entry.number is None else f' data-sort="{entry.number!r}"'
    kind = f' class="{entry.mark}"' if entry.mark else ""
    said = f'<span class="unseen"> ({_MEANING[entry.mark]})</span>' if entry.mark else ""
    notes = "".join(f"<sup>{note}</sup>" for note in entry.notes)
    detail = f"<small>{escape(entry.detail)}</small>" if entry.detail else ""
    return f"<td{number}{kind}>{escape(entry.text)}{said}{notes}{detail}</td>"


def _legend(sheet: Sheet) -> str:
    present = {entry.mark for section in sheet.sections for row in section.rows
               for entry in row.entries}  # fmt: skip
    items = [
        f'<span class="key {mark}">{text}</span>'
        for mark, text in _MEANING.items()
        if mark in present
    ]
    return f'<p class="legend" aria-hidden="true">{"".join(items)}</p>' if items else ""


def _notes(sheet: Sheet) -> str:
    notes = [f"<li><sup>{number}</sup> {escape(note)}</li>"
             for number, note in enumerate(sheet.notes, 1)]  # fmt: skip
    notes += [f"<li>{escape(remark)}</li>" for remark in sheet.remarks]
    return f'<ul class="notes">{"".join(notes)}</ul>' if notes else ""
