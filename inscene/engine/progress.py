"""One progress display for every run: a bar on a terminal, plain lines elsewhere, on stderr."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 5.0


class Display(Protocol):
    def resume(self, done: int) -> None: ...
    def add(self, done: int, kept: int, dropped: int, failed: int) -> None: ...
    def note(self, message: str) -> None: ...
    def close(self) -> None: ...


class Silent:
    """For library use."""

    def resume(self, done: int) -> None:
        pass

    def add(self, done: int, kept: int, dropped: int, failed: int) -> None:
        pass

    def note(self, message: str) -> None:
        pass

    def close(self) -> None:
        pass


def open_display(title: str, total: int) -> Display:
    return _Bar(title, total) if sys.stderr.isatty() else _Lines(title, total)


class _Counts:
    def __init__(self, total: int) -> None:
        self.total, self.done, self.resumed = total, 0, 0
        self.kept = self.dropped = self.failed = 0
        self.started = time.monotonic()

    def add(self, done: int, kept: int, dropped: int, failed: int) -> None:
        self.done += done
        self.kept += kept
        self.dropped += dropped
        self.failed += failed

    @property
    def rate(self) -> float:
        """Inputs a second, of this run."""
        return (self.done - self.resumed) / max(time.monotonic() - self.started, 1e-9)

    def tail(self) -> str:
        parts = [f"{self.rate:.1f}/s", f"kept {self.kept}"]
        parts += [f"dropped {self.dropped}"] if self.dropped else []
        parts += [f"errors {self.failed}"] if self.failed else []
        return " · ".join(parts)


class _Bar:
    def __init__(self, title: str, total: int) -> None:
        self._counts = _Counts(total)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[tail]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(title, total=total, tail="")
        self._progress.start()

    def resume(self, done: int) -> None:
        self._counts.done = self._counts.resumed = done
        self._progress.update(self._task, completed=done)

    def add(self, done: int, kept: int, dropped: int, failed: int) -> None:
        self._counts.add(done, kept, dropped, failed)
        self._progress.update(self._task, completed=self._counts.done, tail=self._counts.tail())

    def note(self, message: str) -> None:
        self._progress.console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()


class _Lines:
    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._counts = _Counts(total)
        self._last = self._counts.started
        self.note(f"{title}: {total} inputs")

    def resume(self, done: int) -> None:
        self._counts.done = self._counts.resumed = done
        if done:
            self.note(f"{self._title}: {done} of {self._counts.total} are done already")

    def add(self, done: int, kept: int, dropped: int, failed: int) -> None:
        counts = self._counts
        counts.add(done, kept, dropped, failed)
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            left_s = (counts.total - counts.done) / max(counts.rate, 1e-9)
            position = f"{counts.done}/{counts.total}"
            self.note(f"{self._title}: {position} · {counts.tail()} · {left_s:.0f} s left")

    def note(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    def close(self) -> None:
        counts = self._counts
        self.note(f"{self._title}: {counts.done}/{counts.total} · {counts.tail()}")
