"""The page: tables, plots, examples, and all that they need, in one file.

It loads nothing: its security policy forbids a browser to, and names nobody's server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from inscene import __version__
from inscene.bench.leaderboard.board import Board
from inscene.bench.leaderboard.html.plots import interval_plots, time_plots
from inscene.bench.leaderboard.html.sliders import Example, sliders
from inscene.bench.leaderboard.html.tables import table
from inscene.bench.leaderboard.sheet import Sheet

_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Part:
    """What belongs under one heading."""

    sheets: tuple[Sheet, ...]
    board: Board | None = None
    """Of which plots are drawn."""


def page(title: str, parts: Sequence[Part], examples: Sequence[Example] = ()) -> str:
    """Raises ``SampleError`` for an example's image that cannot be decoded."""
    sections = [_section(number, part) for number, part in enumerate(parts)]
    links = [
        f'<a href="#part-{number}">{escape(part.sheets[0].title)}</a>'
        for number, part in enumerate(parts)
    ]
    if examples:
        sections.append(
            f'<section id="examples"><h2>Before and after</h2>{sliders(examples)}</section>'
        )
        links.append('<a href="#examples">Before and after</a>')
    nav = f'<nav aria-label="On this page">{"".join(links)}</nav>' if len(links) > 1 else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}: {escape(_subject(parts))}</title>
<style>
{_asset("page.css")}</style>
</head>
<body>
<header><h1>{escape(title)}</h1>{nav}</header>
<main>
{"".join(sections)}
</main>
<footer>Written by inscene {escape(__version__)}.</footer>
<script>
{_asset("page.js")}</script>
</body>
</html>"""


def _section(number: int, part: Part) -> str:
    first, *others = part.sheets
    inner = [table(first)]
    if part.board is not None:
        inner += [interval_plots(part.board), time_plots(part.board, f"time-{number}")]
    for sheet in others:
        inner += [f"<h3>{escape(sheet.title)}</h3>", table(sheet)]
    return f'<section id="part-{number}"><h2>{escape(first.title)}</h2>{"".join(inner)}</section>\n'


def _subject(parts: Sequence[Part]) -> str:
    return ", ".join(part.sheets[0].title for part in parts)


def _asset(name: str) -> str:
    return (files("inscene.bench.leaderboard.html") / name).read_text("utf-8")
