"""Sheets as Markdown: best bold, second best underlined, published rows in italics."""

from __future__ import annotations

from inscene.bench.leaderboard.ranking import Mark
from inscene.bench.leaderboard.sheet import Entry, Section, Sheet, superscript

# Markdown has no underline of its own; its renderers take HTML's.
_WRAP = {Mark.best: "**{}**", Mark.second: "<u>{}</u>", Mark.none: "{}"}


def markdown(sheet: Sheet) -> str:
    parts = [f"**{_safe(sheet.title)}**"]
    measured = [section for section in sheet.sections if not section.title]
    if measured:
        parts.append(_table(sheet, measured))
    for section in sheet.sections:
        if section.title:
            parts += [f"*{_safe(section.title)}*", _table(sheet, [section])]
    notes = [f"{superscript((number,)).strip()} {text}" for number, text in
             enumerate(sheet.notes, 1)]  # fmt: skip
    parts += [_safe(line) if not line.startswith("*") else line for line in
              (*notes, *sheet.remarks)]  # fmt: skip
    return "\n\n".join(parts)


def _table(sheet: Sheet, sections: list[Section]) -> str:
    heads = [_safe(str(head)) for head in sheet.heads]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for section in sections:
        wrap = "*{}*" if section.published else "{}"
        for row in section.rows:
            cells = [wrap.format(_safe(row.name))]
            cells += [_cell(entry, wrap) for entry in row.entries]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(entry: Entry, wrap: str) -> str:
    if not entry.text:
        return ""
    text = wrap.format(_WRAP[entry.mark].format(_cell_safe(entry.text)))
    detail = f" {_cell_safe(entry.detail)}" if entry.detail else ""
    return f"{text}{superscript(entry.notes)}{detail}"


def _cell_safe(text: str) -> str:
    """Our own texts: a star is the mark of an incomplete mean, and stays one."""
    return text.replace("|", "\\|")


def _safe(text: str) -> str:
    """Names come from folders: nothing in them is markup."""
    for mark in "\\|*_`<>[]":
        text = text.replace(mark, "\\" + mark if mark != "<" else "&lt;")
    return text
