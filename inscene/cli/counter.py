"""How far a loop is, on stderr, where it takes long."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from inscene.cli.console import say

LINE_EVERY_S = 5.0


@contextlib.contextmanager
def counter(title: str, total: int) -> Iterator[Callable[[], None]]:
    """What to call after each of ``total`` things; shows on stderr how far it is, if it takes long:
    a bar that goes away on a terminal, plain lines elsewhere."""
    started = last = time.monotonic()
    done = 0
    if sys.stderr.isatty() and total:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            expand=True,
            transient=True,
        ) as bar:
            task = bar.add_task(title, total=total)
            yield lambda: bar.advance(task)
        return

    def count() -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        if now - last >= LINE_EVERY_S:
            last = now
            rate = done / (now - started)
            say(f"{title}: {done}/{total} · {rate:.1f}/s · {(total - done) / rate:.0f} s left")

    yield count
