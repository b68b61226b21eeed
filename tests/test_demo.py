"""The demo is the first thing that a user sees."""

from __future__ import annotations

from pathlib import Path

from inscene.bench.methods.find import find_method
from inscene.dataset.verify import verify
from inscene.demo import METHODS, VERSIONS, find_photos, run_demo


def test_the_demo_runs_and_its_datasets_are_sound(tmp_path: Path) -> None:
    said: list[str] = []
    # The third is the small model that ships: a minute, and tests/restore runs it on less.
    result = run_demo(str(tmp_path / "demo"), said.append, METHODS[:2])
    photos = sum(map(len, find_photos().values()))
    assert photos >= 3
    assert verify(str(result.scenes)).rows == photos
    assert verify(str(result.pairs)).rows == photos * VERSIONS
    (board,) = result.boards
    assert {line.method for line in board.lines} == {"bicubic", "bilateral"}
    assert all(board.complete(line, metric.key) for line in board.lines for metric in board.metrics)
    for metric in board.metrics:  # the stronger one is stronger
        assert board.best(metric) == {"bilateral"}
    page = result.leaderboard.read_text()
    assert all(f">{method}<" in page for method in ("bicubic", "bilateral"))


def test_what_ships_can_run_here() -> None:
    assert "face2scene" in METHODS
    assert [find_method(name).missing() for name in METHODS] == [[], [], []]


def test_a_method_that_cannot_run_is_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    result = run_demo(str(tmp_path / "demo"), said.append, ["bicubic", "face2scene-1token"])
    (board,) = result.boards
    assert {line.method for line in board.lines} == {"bicubic"}
    assert any(line.startswith("face2scene-1token is left out: ") for line in said)
