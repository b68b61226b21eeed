"""Results side by side: boards, published rows, changes; as text, LaTeX, CSV, JSON and HTML."""

from inscene.bench.leaderboard.against import Change, Comparability, Verdict, changes, only_in_one
from inscene.bench.leaderboard.board import Board, Cell, Line
from inscene.bench.leaderboard.build import boards_of, load_boards
from inscene.bench.leaderboard.published import PublishedBlock, load_published
from inscene.bench.leaderboard.render import (
    Example,
    Format,
    render,
    render_changes,
    render_published,
)

__all__ = [
    "Board",
    "Cell",
    "Change",
    "Comparability",
    "Example",
    "Format",
    "Line",
    "PublishedBlock",
    "Verdict",
    "boards_of",
    "changes",
    "load_boards",
    "load_published",
    "only_in_one",
    "render",
    "render_changes",
    "render_published",
]
