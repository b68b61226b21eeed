"""Training one model for each number of tokens and each seed, by the command that users have."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Protocol

REPOSITORY = Path(__file__).resolve().parents[2]

SCALES: Mapping[int, tuple[int, ...]] = {0: (), 1: (1,), 5: (1, 2), 21: (1, 2, 4)}
"""Tokens -> grids that the degradation code is pooled to [paper]."""
POLL_S, SAY_EVERY_S = 0.5, 30.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setup:
    """What all runs have in common."""

    photos: tuple[str, ...]
    fadex: str
    vae: str
    out: Path
    steps: int
    recipe: str
    sets: tuple[str, ...] = ()
    """Further ``--set`` of every run; they come last, and win."""

    def overrides(self, tokens: int) -> list[str]:
        return [
            f"model.vae={json.dumps(self.vae)}",
            f"model.token_scales={list(SCALES[tokens])}",
            f"steps={self.steps}",
            *self.sets,
        ]


@dataclass(frozen=True)
class Run:
    setup: Setup
    tokens: int
    seed: int

    @property
    def name(self) -> str:
        return f"tokens-{self.tokens}-seed-{self.seed}"

    @property
    def folder(self) -> Path:
        return self.setup.out / "runs" / self.name

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def file(self, kind: str) -> Path:
        """Beside the folder, which is the training's own: ``log`` and ``done``."""
        return self.setup.out / "runs" / f"{self.name}.{kind}"

    def arguments(self) -> list[str]:
        """Of ``inscene``. A model without tokens listens to no FaDeX."""
        setup = self.setup
        words = ["train", "restorer", *setup.photos, "--out", str(self.folder)]
        words += ["--recipe", setup.recipe, "--seed", str(self.seed)]
        words += ["--fadex", setup.fadex] if self.tokens else []
        for override in setup.overrides(self.tokens):
            words += ["--set", override]
        return words

    def steps_done(self) -> int:
        """By its log, so that it lags behind by less than ``log_every``."""
        if self.is_done():
            return self.setup.steps
        try:
            last = (self.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1]
            return int(json.loads(last)["step"])
        except (OSError, ValueError, LookupError):
            return 0

    def is_done(self) -> bool:
        """By this very command: of another one the training itself says what is different."""
        try:
            return self.model.is_dir() and self.file("done").read_text() == self._said()
        except OSError:
            return False

    def mark_done(self) -> None:
        self.file("done").write_text(self._said())

    def _said(self) -> str:
        return shlex.join(self.arguments()) + "\n"


def runs(setup: Setup, tokens: Sequence[int], seeds: Sequence[int]) -> list[Run]:
    """All models of one seed, then those of the next: each seed is a comparison by itself."""
    return [Run(setup, count, seed) for seed in seeds for count in tokens]


class Process(Protocol):
    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def wait(self) -> int: ...


Start = Callable[[Run, IO[str]], Process]


def start(run: Run, log: IO[str]) -> Process:
    # One thread each: two trainings side by side lose nothing to each other's waiting, and sums are
    # in the same order on whatever machine.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, "-m", "inscene", *run.arguments()],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
    )


def train(planned: Sequence[Run], parallel: int, say: Say, start: Start = start) -> list[Run]:
    """Those that are not done yet, ``parallel`` at once. Returns the ones that failed; the others
    go on without them. Where it is interrupted, the trainings end with a checkpoint each."""
    waiting = [run for run in planned if not run.is_done()]
    if done := len(planned) - len(waiting):
        say(f"{done} of {len(planned)} runs were done before")
    failed: list[Run] = []
    running: list[tuple[Run, Process, IO[str]]] = []
    progress = _Progress(planned, say)
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                run = waiting.pop(0)
                run.file("log").parent.mkdir(parents=True, exist_ok=True)
                log = run.file("log").open("a", encoding="utf-8")
                running.append((run, start(run, log), log))
            for one in list(running):
                run, process, log = one
                if (status := process.poll()) is None:
                    continue
                running.remove(one)
                log.close()
                if status == 0 and run.model.is_dir():
                    run.mark_done()
                    say(f"{run.name}: done")
                else:
                    failed.append(run)
                    say(f"{run.name}: ended with {status}: {_last_words(run)}")
            progress.tell([run for run, _, _ in running])
            if running:
                time.sleep(POLL_S)
    finally:
        for _, process, _ in running:
            process.terminate()  # it writes a checkpoint
        for _, process, log in running:
            process.wait()
            log.close()
    return failed


class _Progress:
    def __init__(self, planned: Sequence[Run], say: Say) -> None:
        self._planned, self._say = planned, say
        self._first = sum(run.steps_done() for run in planned)
        self._since = self._told = time.monotonic()

    def tell(self, running: Sequence[Run]) -> None:
        now = time.monotonic()
        if now - self._told < SAY_EVERY_S or not running:
            return
        self._told = now
        done = sum(run.steps_done() for run in self._planned)
        total = sum(run.setup.steps for run in self._planned)
        finished = sum(run.is_done() for run in self._planned)
        at = ", ".join(f"{run.name} at {run.steps_done():,}" for run in running)
        self._say(
            f"{finished} of {len(self._planned)} runs · {done:,} of {total:,} steps · "
            f"{self._left(done, total, now)}{at}"
        )

    def _left(self, done: int, total: int, now: float) -> str:
        if done <= self._first:
            return ""
        left_s = (now - self._since) / (done - self._first) * (total - done)
        return f"{timedelta(seconds=round(left_s))} left · "


def _last_words(run: Run) -> str:
    lines = list(_lines(run.file("log")))
    return (lines[-1] if lines else "it said nothing") + f" ({run.file('log')})"


def _lines(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if any(character.isalnum() for character in line):  # not the frame around an error
            yield line.strip()
