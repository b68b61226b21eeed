"""Worker processes on this machine.

The standard pools cannot serve here: when one of their workers dies, ``ProcessPoolExecutor`` breaks
as a whole and ``multiprocessing.Pool`` waits for ever; and both share queues whose locks die with
their holder. Here each worker has a pipe of its own, so that a death concerns its own task only.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from inscene.engine.gpus import VISIBLE
from inscene.engine.job import Job, ShardTask
from inscene.engine.pool import Died, Event, Failed, Finished, Pool
from inscene.engine.worker import Progress, Worker
from inscene.errors import MachineError

# Spawn, never fork: LibRaw deadlocks after a fork, and torch and Ray hold threads.
_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class _Child:
    process: Any
    pipe: Connection
    gpu: str | None = None
    task: ShardTask | None = None
    reported: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Progress within the task: taken back if the worker dies, as the task begins anew."""


class ProcessPool(Pool):
    """``gpus``: one a worker and as many, or none; a worker sees no GPU but its own."""

    def __init__(
        self, job: Job, workers: int, progress: Progress, gpus: Sequence[str] = ()
    ) -> None:
        self.workers = self.capacity = workers
        self._job, self._progress = job, progress
        self._children: list[_Child] = []
        self._children = [self._start(gpu) for gpu in gpus or (None,) * workers]

    def _start(self, gpu: str | None) -> _Child:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_serve, args=(theirs, self._job), daemon=True)
        with _worker_environment({} if gpu is None else {VISIBLE: gpu}):
            process.start()
        theirs.close()
        return _Child(process, ours, gpu)

    def submit(self, task: ShardTask) -> None:
        child = next(child for child in self._children if child.task is None)
        child.task, child.reported = task, [0, 0, 0, 0]
        with contextlib.suppress(OSError):  # it is dead: wait() will say so
            child.pipe.send(task)

    def wait(self) -> Event:
        while True:
            busy = {child.pipe: child for child in self._children if child.task is not None}
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                if (event := self._heard(busy[pipe])) is not None:
                    return event

    def _heard(self, child: _Child) -> Event | None:
        task = child.task
        assert task is not None
        try:
            kind, content = child.pipe.recv()
        except (EOFError, OSError):
            child.process.join()
            self._progress(*(-count for count in child.reported))
            self._children.remove(child)
            self._children.append(self._start(child.gpu))
            return Died(task, _cause_of_death(child.process.exitcode))
        if kind == "progress":
            self._progress(*content)
            child.reported = [a + b for a, b in zip(child.reported, content, strict=True)]
            return None
        child.task = None
        return Finished(task, content) if kind == "finished" else Failed(task, content)

    def stop(self) -> None:
        for child in self._children:
            child.process.terminate()
        for child in self._children:
            child.process.join()
            child.pipe.close()


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):  # a real-time signal has no name
            return f"killed by {signal.Signals(-exit_code).name}"
        return f"killed by signal {-exit_code}"
    return f"ended with code {exit_code}"


# What libraries read when they are loaded, so that it must be in the environment that a worker is
# born with. Workers are the parallelism: numeric libraries in them get one thread. Arrow takes its
# memory from where images take theirs; a pool of its own would hold 60 MB a worker back.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


@contextlib.contextmanager
def _worker_environment(more: Mapping[str, str]) -> Iterator[None]:
    wanted = {**_WORKER_ENVIRONMENT, **more}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, job: Job) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends us
    _die_with_parent()
    one_cv2_thread()

    def progress(*counts: int) -> None:
        pipe.send(("progress", counts))

    worker: Worker | None = None
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            worker = worker or Worker(job)
            pipe.send(("finished", worker.run(task, progress)))
        except Exception as error:
            pipe.send(("failed", _sendable(error)))


def one_cv2_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def _die_with_parent() -> None:
    """A parent that was killed cannot end its children: they watch it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _sendable(error: Exception) -> Exception:
    """The error as it is, or its text where it cannot cross a pipe."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return MachineError(f"a worker failed: {type(error).__name__}: {error}")
    return error
