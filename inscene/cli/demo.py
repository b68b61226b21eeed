"""``inscene demo``"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from inscene.cli.console import say


def demo(
    out: Annotated[str, typer.Option("--out", "-o", help="Folder to write.")] = "demo-out",
) -> None:
    """Run the main job, small, on photos that installed packages carry.

    Photos → scenes → degraded pairs → restored by three methods → leaderboard.
    """
    from inscene.bench.leaderboard import render
    from inscene.demo import run_demo

    started = time.monotonic()
    result = run_demo(out, say)
    say()
    print(render(result.boards, "table"))
    print(f"""
Written in {time.monotonic() - started:.0f} s:
  {result.scenes}  (inscene verify {result.scenes})
  {result.pairs}
  {result.results}
  {result.leaderboard}""")
