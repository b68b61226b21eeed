"""Images a second from one worker process and from two."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from degrade_passes import ONE_THREAD, read_set, use_one_thread

START_TIMEOUT_S = 120.0

_set: list[tuple[Any, Any, int]] = []
"""In a worker: image, operator and noise seed of each sample."""


@dataclass(frozen=True)
class Rates:
    """Images a second of each round, with so many workers."""

    one: list[float]
    two: list[float]


def measure(folder: Path, images: int, rounds: int) -> Rates:
    """Every round degrades ``images`` images with one worker, then as many with two."""
    os.environ.update(ONE_THREAD)  # the workers read them when they load their libraries
    samples = read_set(folder)
    # The costly ones first, so that the workers end together: the cost goes with the first resize.
    order = sorted(range(len(samples)), key=lambda index: -_work(samples[index].operator))
    tasks = sorted((order * -(-images // len(order)))[:images], key=order.index)
    one, two = _Pool(folder, 1), _Pool(folder, 2)
    try:
        rounds_done = [(one.rate(tasks), two.rate(tasks)) for _ in range(rounds)]
    finally:
        one.end()
        two.end()
    return Rates([first for first, _ in rounds_done], [second for _, second in rounds_done])


def _work(operator: str) -> float:
    from inscene.degrade import Operator

    return Operator.from_json(operator).first.resize.scale


class _Pool:
    def __init__(self, folder: Path, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        ready = context.Barrier(workers + 1)
        self._pool = context.Pool(workers, _start, (str(folder), ready))
        # A worker that fails to start is replaced for ever; the timeout ends that.
        ready.wait(START_TIMEOUT_S)

    def rate(self, tasks: list[int]) -> float:
        began = time.perf_counter()
        # In handfuls: the pool's own work must not be what is measured.
        for _ in self._pool.imap_unordered(_degrade_one, tasks, chunksize=max(1, len(tasks) // 96)):
            pass
        return len(tasks) / (time.perf_counter() - began)

    def end(self) -> None:
        self._pool.terminate()
        self._pool.join()


def _start(folder: str, ready: Barrier) -> None:
    import numpy as np

    from inscene.degrade import Operator

    use_one_thread("engine")
    for sample in read_set(Path(folder)):
        image = np.load(Path(folder) / sample.image)
        _set.append((image, Operator.from_json(sample.operator), sample.noise_seed))
    for index in range(len(_set)):  # all of them: each may be the first to need something
        _degrade_one(index)
    ready.wait(START_TIMEOUT_S)


def _degrade_one(index: int) -> None:
    from inscene.degrade import degrade

    degrade(*_set[index])
