"""Where training is: a bar on a terminal, plain lines elsewhere, on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

LINE_EVERY_S = 5.0


class Display(Protocol):
    def begin(self, done: int) -> None:
        """``done`` steps were done by earlier runs."""

    def step(self, done: int, loss: float, images_per_s: float) -> None: ...
    def note(self, message: str) -> None: ...
    def close(self) -> None: ...


class Silent:
    """For library use."""

    def begin(self, done: int) -> None:
        pass

    def step(self, done: int, loss: float, images_per_s: float) -> None:
        pass

    def note(self, message: str) -> None:
        pass

    def close(self) -> None:
        pass


def open_display(title: str, steps: int) -> Display:
    return _Bar(title, steps) if sys.stderr.isatty() else _Lines(title, steps)


def in_words(scalars: Mapping[str, float]) -> str:
    return " · ".join(f"{name} {value:.4g}" for name, value in scalars.items())


class _Clock:
    """Time left, by the steps of this run."""

    def __init__(self, steps: int) -> None:
        self._steps, self._since, self._first = steps, 0.0, 0

    def begin(self, done: int) -> None:
        self._since, self._first = time.monotonic(), done

    def left(self, done: int) -> str:
        elapsed_s = time.monotonic() - self._since
        if done <= self._first:
            return ""
        left_s = elapsed_s / (done - self._first) * (self._steps - done)
        return f"{timedelta(seconds=round(left_s))} left"


class _Bar:
    def __init__(self, title: str, steps: int) -> None:
        self._title, self._steps, self._clock = title, steps, _Clock(steps)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[tail]}"),
            console=Console(stderr=True),
            expand=True,
        )

    def begin(self, done: int) -> None:
        self._clock.begin(done)
        self._bar = self._progress.add_task(self._title, total=self._steps, completed=done, tail="")
        self._progress.start()

    def step(self, done: int, loss: float, images_per_s: float) -> None:
        tail = f"loss {loss:.4g} · {images_per_s:.1f} images/s · {self._clock.left(done)}"
        self._progress.update(self._bar, completed=done, tail=tail)

    def note(self, message: str) -> None:
        self._progress.console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()


class _Lines:
    def __init__(self, title: str, steps: int) -> None:
        self._title, self._steps, self._clock = title, steps, _Clock(steps)
        self._last = 0.0

    def begin(self, done: int) -> None:
        self._clock.begin(done)
        self._last = time.monotonic()
        self.note(f"{self._title}: {self._steps} steps" + (f", from {done} on" if done else ""))

    def step(self, done: int, loss: float, images_per_s: float) -> None:
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            self.note(
                f"{self._title}: {done}/{self._steps} · loss {loss:.4g} · "
                f"{images_per_s:.1f} images/s · {self._clock.left(done)}"
            )

    def note(self, message: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody reads on: the work matters more
            print(message, file=sys.stderr, flush=True)

    def close(self) -> None:
        pass
