"""Sheets as LaTeX tables (booktabs), shaded as the paper's: best red, second best yellow."""

from __future__ import annotations

import re

from inscene.bench.leaderboard.ranking import Mark
from inscene.bench.leaderboard.sheet import DOWN, UP, Entry, Head, Row, Section, Sheet

PREAMBLE = r"""% In the preamble:
%   \usepackage{booktabs}
%   \usepackage[table]{xcolor}
%   \usepackage{graphicx}
\providecolor{inscenebest}{HTML}{F8B4B4}
\providecolor{inscenesecond}{HTML}{FFF2B3}
\providecolor{inscenepublished}{HTML}{707070}"""

_SHADES = {Mark.best: r"\cellcolor{inscenebest}", Mark.second: r"\cellcolor{inscenesecond}"}
_ARROWS = {UP: r" $\uparrow$", DOWN: r" $\downarrow$", "": ""}


def latex(sheet: Sheet) -> str:
    width = len(sheet.heads)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{_safe(sheet.title)}}}",
        # Ten metrics are wider than a column, whatever its class makes of it.
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
        _line([_head(head) for head in sheet.heads]),
    ]
    for section in sheet.sections:
        lines.append(r"\midrule")
        lines += _section(section, width)
    lines += [r"\bottomrule", r"\end{tabular}}"]
    notes = [
        *(rf"\textsuperscript{{{number}}} {_safe(text)}" for number, text in
          enumerate(sheet.notes, 1)),
        *(_safe(remark) for remark in sheet.remarks),
    ]  # fmt: skip
    lines += [rf"\par\smallskip\raggedright\footnotesize {note}" for note in notes]
    return "\n".join([*lines, r"\end{table}"])


def _section(section: Section, width: int) -> list[str]:
    lines = []
    if section.title:
        title = rf"\textit{{{_pale(_safe(section.title))}}}"
        lines.append(rf"\multicolumn{{{width}}}{{l}}{{{title}}} \\")
    for row in section.rows:
        lines.append(_line(_row(row, section.published)))
        # Intervals stand below their means: beside them the table would be twice as wide.
        details = [entry.detail for entry in row.entries]
        if any(details):
            small = [rf"{{\scriptsize {_safe(one)}}}" if one else "" for one in details]
            lines.append(_line(["", *small]))
    return lines


def _row(row: Row, published: bool) -> list[str]:
    cells = [_safe(row.name), *(_cell(entry) for entry in row.entries)]
    return [_pale(cell) if cell else "" for cell in cells] if published else cells


def _cell(entry: Entry) -> str:
    notes = ",".join(map(str, entry.notes))
    raised = rf"\textsuperscript{{{notes}}}" if notes else ""
    return f"{_SHADES.get(entry.mark, '')}{_safe(entry.text)}{raised}"


def _head(head: Head) -> str:
    return f"{_safe(head.title)}{_ARROWS[head.arrow]}"


def _pale(text: str) -> str:
    return rf"\textcolor{{inscenepublished}}{{{text}}}"


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "×": r"$\times$", "·": r"$\cdot$",
    "…": r"\ldots{}", "–": "--", "†": r"\dag{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", "→": r"$\rightarrow$",
}  # fmt: skip
_ANY_SPECIAL = re.compile("|".join(map(re.escape, _SPECIAL)))


def _safe(text: str) -> str:
    """Brackets are wrapped: after a line's end LaTeX would take one for a length."""
    return _ANY_SPECIAL.sub(lambda found: _SPECIAL[found[0]], text)
