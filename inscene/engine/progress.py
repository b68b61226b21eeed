"""One progress display for every run: a bar on a terminal, plain lines elsewhere, on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

LINE_EVERY_S = 5.0


class Counts(Protocol):
    """What is known of a run's inputs; a run's summary is one."""

    inputs: int
    kept: int
    dropped: dict[str, int]
    errors: dict[str, int]


class Display(Protocol):
    def resume(self, done: Counts) -> None:
        """Begin to show; ``done`` are the inputs that earlier runs have finished."""

    def add(self, done: int, kept: int, dropped: int, failed: int) -> None: ...
    def note(self, message: str) -> None: ...
    def close(self) -> None: ...


class Silent:
    """For library use."""

    def resume(self, done: Counts) -> None:
        pass

    def add(self, done: int, kept: int, dropped: int, failed: int) -> None:
        pass

    def note(self, message: str) -> None:
        pass

    def close(self) -> None:
        pass


def open_display(title: str, total: int) -> Display:
    return _Bar(title, total) if sys.stderr.isatty() else _Lines(title, total)


class _Tally:
    """Counts and rate. The clock starts with the first results: start-up is not the rate."""

    def __init__(self, total: int, done: Counts) -> None:
        self.total, self.done, self.kept = total, done.inputs, done.kept
        self.dropped, self.failed = sum(done.dropped.values()), sum(done.errors.values())
        self._first: tuple[float, int] | None = None

    def add(self, done: int, kept: int, dropped: int, failed: int) -> None:
        self.done += done
        self.kept += kept
        self.dropped += dropped
        self.failed += failed
        if self._first is None:
            self._first = time.monotonic(), self.done

    @property
    def rate(self) -> float | None:
        """Inputs a second, once there is something to tell it by."""
        if self._first is None:
            return None
        since, done = self._first
        elapsed_s = time.monotonic() - since
        return (self.done - done) / elapsed_s if self.done > done and elapsed_s > 0 else None

    @property
    def left_s(self) -> float | None:
        return (self.total - self.done) / self.rate if self.rate else None

    def tail(self) -> str:
        parts = [f"{self.rate:.1f}/s"] if self.rate else []
        parts += [f"kept {self.kept}"]
        parts += [f"dropped {self.dropped}"] if self.dropped else []
        parts += [f"errors {self.failed}"] if self.failed else []
        return " · ".join(parts)


class _Bar:
    def __init__(self, title: str, total: int) -> None:
        self._title, self._total = title, total
        self._tally: _Tally | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[tail]}"),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            expand=True,
        )

    def resume(self, done: Counts) -> None:
        self._tally = _Tally(self._total, done)
        self._task = self._progress.add_task(self._title, total=self._total, tail="", left="")
        self._progress.start()
        self._show()

    def add(self, done: int, kept: int, dropped: int, failed: int) -> None:
        if self._tally is not None:
            self._tally.add(done, kept, dropped, failed)
            self._show()

    def _show(self) -> None:
        if self._tally is not None:
            left_s = self._tally.left_s
            left = "" if left_s is None else f"{timedelta(seconds=round(left_s))} left"
            self._progress.update(
                self._task, completed=self._tally.done, tail=self._tally.tail(), left=left
            )

    def note(self, message: str) -> None:
        self._progress.console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()


class _Lines:
    def __init__(self, title: str, total: int) -> None:
        self._title, self._total = title, total
        self._tally: _Tally | None = None
        self._last = 0.0

    def resume(self, done: Counts) -> None:
        self._tally = _Tally(self._total, done)
        self._last = time.monotonic()
        already = f", {done.inputs} of them done already" if done.inputs else ""
        self.note(f"{self._title}: {self._total} inputs{already}")

    def add(self, done: int, kept: int, dropped: int, failed: int) -> None:
        if self._tally is None:
            return
        self._tally.add(done, kept, dropped, failed)
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            left = "" if self._tally.left_s is None else f" · {self._tally.left_s:.0f} s left"
            self.note(f"{self._position()}{left}")

    def _position(self) -> str:
        assert self._tally is not None
        return f"{self._title}: {self._tally.done}/{self._total} · {self._tally.tail()}"

    def note(self, message: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody reads on: the work matters more
            print(message, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._tally is not None:
            self.note(self._position())
