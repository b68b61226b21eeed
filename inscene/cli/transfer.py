"""How far downloads are, on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from inscene.cli.console import say
from inscene.cli.counter import LINE_EVERY_S
from inscene.weights.pull import Started
from inscene.weights.sizes import in_words
from inscene.weights.verify import Advance


@contextlib.contextmanager
def transfers() -> Iterator[Started]:
    """What to call when a file begins: with its name and its size in bytes."""
    if sys.stderr.isatty():
        with _bars() as started:
            yield started
    else:
        yield _lines


@contextlib.contextmanager
def _bars() -> Iterator[Started]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    with Progress(
        TextColumn(
            "{task.description}", table_column=Column(ratio=2, overflow="ellipsis", no_wrap=True)
        ),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        expand=True,
        redirect_stdout=sys.stdout.isatty(),  # else results would go to the terminal, not there
    ) as bars:

        def started(what: str, size_bytes: int, have_bytes: int) -> Advance:
            task = bars.add_task(what, total=size_bytes or None, completed=have_bytes)
            return lambda count: bars.advance(task, count)

        yield started


def _lines(what: str, size_bytes: int, have_bytes: int) -> Advance:
    begun = last = time.monotonic()
    done = have_bytes
    here = f", {in_words(have_bytes)} here already" if have_bytes else ""
    say(f"{what}: {in_words(size_bytes or None)}{here}")

    def advance(count: int) -> None:
        nonlocal last, done
        done += count
        now = time.monotonic()
        if now - last >= LINE_EVERY_S:
            last = now
            rate = max((done - have_bytes) / (now - begun), 1)
            left = f" · {max(0, size_bytes - done) / rate:.0f} s left" if size_bytes else ""
            of_all = f" of {in_words(size_bytes)}" if size_bytes else ""
            say(f"{what}: {in_words(done)}{of_all} · {in_words(rate)}/s{left}")

    return advance
