"""The loop that every training runs in: batches in, scalars and checkpoints out."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from inscene.errors import ExitCode, InsceneError, MachineError
from inscene.face2scene import ranks
from inscene.face2scene.updates import NonFiniteLossError, Scalars
from inscene.training.board import Board, open_board
from inscene.training.loader import Batches, Loader, Shared
from inscene.training.order import Share
from inscene.training.progress import Display, Silent, in_words
from inscene.training.run_folder import (
    BAD_BATCH,
    MODEL,
    STATE,
    STOP,
    TENSORBOARD,
    Judged,
    RunFolder,
)
from inscene.training.state import State, load_state, save_state

B = TypeVar("B")


class DivergedError(InsceneError):
    """A loss is NaN or infinite. What led to it has been saved."""

    exit_code = ExitCode.PARTIAL


class Task(Protocol[B]):
    """What is trained. Steps are numbered from 0; *done* is how many have been done."""

    @property
    def images_per_step(self) -> int:
        """For the rate that is shown."""

    @property
    def data(self) -> Batches[B]:
        """Pickled into the loader's workers. For a training of several ranks, its ``batch`` also
        takes a :class:`~inscene.training.order.Share`."""

    def step(self, batch: B, step: int) -> Scalars:
        """One update. ``loss`` is among the scalars. A scalar that this batch does not have is NaN
        or left out. Raises ``NonFiniteLossError`` before anything is changed."""

    def validate(self, done: int) -> Scalars:
        """On what is never trained on; may write pictures. It changes nothing, random generators
        included: a run that validates more often is the same run."""

    def state(self) -> State:
        """All that :meth:`step` changes or draws from."""

    def load(self, state: State) -> None:
        """What :meth:`state` gave."""

    def checkpoint(self, folder: Path) -> None:
        """Write what is to be used later into an empty folder."""

    def save_batch(self, batch: B, folder: Path) -> None:
        """Write a batch that cannot be trained on into an empty folder, for whoever looks."""


@dataclass(frozen=True)
class Pace:
    """How long, and how often what. Each in steps."""

    steps: int
    log_every: int = 10
    validate_every: int = 500
    checkpoint_every: int = 500
    best: str | None = None
    """Scalar of :meth:`Task.validate` by which the best checkpoint is kept."""
    higher: bool = True
    """Whether more of it is better."""


@dataclass(frozen=True)
class Trained:
    """How a run ended."""

    done: int
    steps: int
    stopped: bool
    """It was asked to end before its last step, and can go on."""
    validated: Scalars
    """The last ones, if any."""
    checkpoint: str


def train(
    task: Task[B],
    run: RunFolder,
    pace: Pace,
    fingerprint: Mapping[str, Any],
    *,
    workers: int = 0,
    pin: bool = False,
    display: Display | None = None,
) -> Trained:
    """Train until all steps are done, or Ctrl-C or SIGTERM asks for an end: the step at hand is
    finished then, and a checkpoint written. A second Ctrl-C ends it at once.

    A folder that has a checkpoint is gone on with, from there. Raises ``RecipeError`` where it is
    another run's (``fingerprint``), ``BusyError``, ``MachineError`` for a full disk or a worker
    that died, :class:`DivergedError` after a loss that is none.

    Of several ranks (:mod:`inscene.face2scene.ranks`) each has its part of every batch, and the
    first one writes. ``out`` must be one folder for all.
    """
    check(run, fingerprint)
    if ranks.rank():
        return _Follower(task, run, pace).go(workers, pin)
    with run.held():
        run.begin(fingerprint)
        return _Training(task, run, pace, display or Silent()).go(workers, pin)


def check(run: RunFolder, fingerprint: Mapping[str, Any]) -> None:
    """:meth:`RunFolder.check` by the first of several ranks: to the others, what that one may be
    writing by now would look foreign. For use before what takes long."""
    if not ranks.rank():
        run.check(fingerprint)


@dataclass
class _Sums:
    """Means of what steps say since the last line of the log. Part of the state: a line that spans
    an interruption is the same line."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, scalars: Scalars) -> None:
        for name, value in scalars.items():
            if math.isfinite(value):
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> Scalars:
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


class _Training(Generic[B]):
    def __init__(self, task: Task[B], run: RunFolder, pace: Pace, display: Display) -> None:
        self._task, self._run, self._pace, self._display = task, run, pace, display
        self._sums = _Sums()
        self._rate = _Rate()
        self._validated: Scalars = {}
        self._validated_at = -1
        self._board: Board

    def go(self, workers: int, pin: bool) -> Trained:
        done = self._resume()
        with contextlib.ExitStack() as ending:
            stop = ending.enter_context(_asked_to_stop(self._display))
            ending.callback(self._display.close)
            with self._run.writing(self._run / TENSORBOARD):
                self._board = open_board(self._run / TENSORBOARD, done)
            ending.callback(self._board.close)
            self._display.begin(done)
            if not self._board.written:
                self._display.note("no TensorBoard files: tensorboard is not installed")
            saved = done if self._run.latest() else -1
            if done == 0 and saved < 0:
                self._validate(0)
            ranks.number(done)  # the folder is ready: others go on from this step
            loader = _loader(self._task, done, self._pace.steps, workers, pin)
            if not self._is_to_end(stop) and done < self._pace.steps:
                ending.enter_context(loader)
                self._rate.start()
                for step, batch in loader:
                    self._one(step, batch, loader)
                    done = step + 1
                    if self._after(done):
                        saved = done
                    if self._is_to_end(stop):
                        break
            if saved != done:
                self._checkpoint(done)
            whole = done >= self._pace.steps
            if whole:
                self._run.write_folder(self._run / MODEL, self._task.checkpoint)
        latest = self._run.latest()
        assert latest is not None
        return Trained(done, self._pace.steps, not whole, self._validated, str(latest[1]))

    def _is_to_end(self, stop: threading.Event) -> bool:
        return ranks.said(stop.is_set() or (ranks.count() > 1 and (self._run / STOP).exists()))

    def _resume(self) -> int:
        latest = self._run.latest()
        if latest is None:
            self._run.forget_after(-1)
            return 0
        done, folder = latest
        state = load_state(folder / STATE)
        self._task.load(state["task"])
        self._sums = _Sums(dict(state["loop"]["sums"]), dict(state["loop"]["counts"]))
        self._run.forget_after(done)
        lines = [line for line in self._run.lines() if line.get("kind") == "validation"]
        if lines:
            self._validated = {
                name: value
                for name, value in lines[-1].items()
                if name not in ("step", "kind") and value is not None
            }
        return done

    def _one(self, step: int, batch: B, loader: Loader[B]) -> None:
        try:
            scalars = self._task.step(batch, step)
        except NonFiniteLossError as error:
            raise self._diverged(error, batch, step) from error
        self._sums.add(scalars)
        self._rate.images += self._task.images_per_step
        done = step + 1
        self._display.step(done, scalars.get("loss", math.nan), self._rate.now)
        if done % self._pace.log_every == 0 or done == self._pace.steps:
            speed = self._rate.take(loader)
            means = self._sums.take()
            self._run.log({"step": done, "kind": "train", **means, **speed})
            with self._run.writing(self._run / TENSORBOARD):
                self._board.scalars("train", {**means, **speed}, done)

    def _after(self, done: int) -> bool:
        """Validation and checkpoint where they are due; whether one was written."""
        last = done == self._pace.steps
        validates = last or done % self._pace.validate_every == 0
        if validates:
            self._validate(done)
        if validates or done % self._pace.checkpoint_every == 0:
            self._checkpoint(done)
            return True
        return False

    def _validate(self, done: int) -> None:
        with self._rate.paused():
            scalars = self._task.validate(done)
            self._validated, self._validated_at = scalars, done
            self._run.log({"step": done, "kind": "validation", **scalars})
            with self._run.writing(self._run / TENSORBOARD):
                self._board.scalars("validation", scalars, done)
                self._board.flush()
            if scalars:
                self._display.note(f"after {done} steps: {in_words(scalars)}")

    def _checkpoint(self, done: int) -> None:
        def fill(folder: Path) -> None:
            (folder / STATE).mkdir()
            loop = {"sums": self._sums.sums, "counts": self._sums.counts}
            save_state({"task": self._task.state(), "loop": loop}, folder / STATE)
            (folder / MODEL).mkdir()
            self._task.checkpoint(folder / MODEL)

        judged, name = None, self._pace.best
        if name is not None and self._validated_at == done:
            judged = Judged(name, self._validated[name], self._pace.higher)
        with self._rate.paused():
            self._run.save_checkpoint(done, fill, judged)

    def _diverged(self, error: NonFiniteLossError, batch: B, step: int) -> DivergedError:
        self._run.log({"step": step, "kind": "diverged", "what": error.what})
        return _diverged(self._task, self._run, error, batch, step)


class _Follower(Generic[B]):
    """A rank that is not the first: it trains on its part of each batch, and writes nothing but a
    batch that cannot be trained on."""

    def __init__(self, task: Task[B], run: RunFolder, pace: Pace) -> None:
        self._task, self._run, self._pace = task, run, pace

    def go(self, workers: int, pin: bool) -> Trained:
        done = ranks.number(0)
        found = dict(self._run.checkpoints()).get(done)
        if found is not None:
            self._task.load(load_state(found / STATE)["task"])
        elif done:
            raise MachineError(
                f"a worker does not see the checkpoint of step {done}",
                where=str(self._run.folder),
                next_step="Give --out a folder that all machines of the cluster share.",
            )
        stopped = ranks.said(False)
        if not stopped and done < self._pace.steps:
            with _loader(self._task, done, self._pace.steps, workers, pin) as loader:
                for step, batch in loader:
                    try:
                        self._task.step(batch, step)
                    except NonFiniteLossError as error:
                        raise _diverged(self._task, self._run, error, batch, step) from error
                    done = step + 1
                    if ranks.said(False):
                        break
        return Trained(done, self._pace.steps, done < self._pace.steps, {}, "")


def _loader(task: Task[B], first: int, end: int, workers: int, pin: bool) -> Loader[B]:
    if ranks.count() == 1:
        return Loader(task.data, first, end, workers, pin=pin)
    share = Share(ranks.rank(), ranks.count())
    return Loader(Shared(task.data, share), first, end, workers, pin=pin)


def _diverged(
    task: Task[B], run: RunFolder, error: NonFiniteLossError, batch: B, step: int
) -> DivergedError:
    rank = ranks.rank()
    folder = run / (f"{BAD_BATCH}-{rank}" if rank else BAD_BATCH)
    run.write_folder(folder, lambda inside: task.save_batch(batch, inside))
    ranks.number(0)  # the first to end would end the others before they have written
    return DivergedError(
        error.what,
        where=f"step {step} of {run.folder}",
        why=f"{error.why} Its batch is in {run / BAD_BATCH}.",
        next_step=error.next_step,
    )


class _Rate:
    """Images a second and the share of time spent waiting for data. What validation and
    checkpoints take is not counted."""

    def __init__(self) -> None:
        self.images = 0
        self._since = time.perf_counter()
        self._paused_s = 0.0

    def start(self) -> None:
        self.images, self._paused_s, self._since = 0, 0.0, time.perf_counter()

    @property
    def _elapsed_s(self) -> float:
        return max(1e-9, time.perf_counter() - self._since - self._paused_s)

    @property
    def now(self) -> float:
        return self.images / self._elapsed_s

    def take(self, loader: Loader[Any]) -> Scalars:
        shown = {"images_per_s": self.now, "data_wait": loader.waited_s / self._elapsed_s}
        self.start()
        loader.waited_s = 0.0
        return shown

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        since = time.perf_counter()
        try:
            yield
        finally:
            self._paused_s += time.perf_counter() - since


@contextlib.contextmanager
def _asked_to_stop(display: Display) -> Iterator[threading.Event]:
    """Set by Ctrl-C or SIGTERM; a second Ctrl-C is an ordinary one."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # signals are the main thread's
        return

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        display.note("ending after this step, with a checkpoint (Ctrl-C again: at once)")

    before = {one: signal.signal(one, ask) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
