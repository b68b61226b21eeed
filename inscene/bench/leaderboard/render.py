"""Boards, published tables and changes in any of the formats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from inscene.bench.leaderboard.against import Change
from inscene.bench.leaderboard.against_sheet import COLUMNS, change_record, change_sheets
from inscene.bench.leaderboard.board import Board
from inscene.bench.leaderboard.board_sheet import board_sheets
from inscene.bench.leaderboard.html.page import Part, page
from inscene.bench.leaderboard.html.sliders import Example as Example
from inscene.bench.leaderboard.latex import PREAMBLE, latex
from inscene.bench.leaderboard.markdown import markdown
from inscene.bench.leaderboard.published import PublishedBlock, nearest
from inscene.bench.leaderboard.published_sheet import published_sheets
from inscene.bench.leaderboard.records import (
    boards_csv,
    boards_json,
    published_csv,
    published_json,
    to_csv,
    to_json,
)
from inscene.bench.leaderboard.sheet import Sheet
from inscene.bench.leaderboard.terminal import terminal

Format = Literal["table", "markdown", "csv", "json", "latex", "html"]


def render(
    boards: Sequence[Board],
    format_: Format,
    *,
    published: Sequence[PublishedBlock] = (),
    examples: Sequence[Example] = (),
) -> str:
    """``published``: rows shown below the measured ones, never ranked with them. ``examples``: on
    the HTML page, a title and encoded images by label, in the order in which they are offered.

    Raises ``SampleError`` for an example's image that cannot be decoded.
    """
    shown = [one for one in published if any(one in nearest(published, b.suite) for b in boards)]
    if format_ == "csv":
        return boards_csv(boards, shown)
    if format_ == "json":
        return boards_json(boards, shown)
    parts = [
        Part(tuple(board_sheets(board, nearest(published, board.suite))), board) for board in boards
    ]
    return _drawn("Leaderboard", parts, format_, examples)


def render_published(blocks: Sequence[PublishedBlock], format_: Format) -> str:
    if format_ == "csv":
        return published_csv(blocks)
    if format_ == "json":
        return published_json(blocks)
    return _drawn("Published results", [Part((one,)) for one in published_sheets(blocks)], format_)


def render_changes(changes: Sequence[Change], format_: Format, left_out: Sequence[str] = ()) -> str:
    """``left_out``: what is in one of the two results only, in words."""
    records = [change_record(change) for change in changes]
    if format_ == "csv":
        return to_csv(records, COLUMNS)
    if format_ == "json":
        return to_json({"changes": records, "left_out": list(left_out)})
    sheets = change_sheets(changes, left_out)
    return _drawn("New against old", [Part((one,)) for one in sheets], format_)


def _drawn(
    title: str, parts: Sequence[Part], format_: Format, examples: Sequence[Example] = ()
) -> str:
    sheets: list[Sheet] = [sheet for part in parts for sheet in part.sheets]
    if format_ == "html":
        return page(title, parts, examples)
    if format_ == "latex":
        return "\n\n".join([PREAMBLE, *map(latex, sheets)])
    return "\n\n".join(map(markdown if format_ == "markdown" else terminal, sheets))
