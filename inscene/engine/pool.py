"""The interface of an executor's workers, and the one that needs no other process."""

from __future__ import annotations

import abc
from dataclasses import dataclass

from inscene.dataset.shards import Record
from inscene.engine.job import Job, ShardTask
from inscene.engine.worker import Progress, Worker


@dataclass(frozen=True)
class Finished:
    task: ShardTask
    record: Record


@dataclass(frozen=True)
class Died:
    """The worker is gone; the task may be tried again on another."""

    task: ShardTask
    why: str


@dataclass(frozen=True)
class Failed:
    """The worker lives, and the task raised: the machine or the code is at fault, no input is."""

    task: ShardTask
    error: BaseException


Event = Finished | Died | Failed


class Pool(abc.ABC):
    """Workers that run shards. A context manager: left, no worker stays."""

    workers: int
    capacity: int
    """Tasks that may be in flight."""

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abc.abstractmethod
    def submit(self, task: ShardTask) -> None: ...

    @abc.abstractmethod
    def wait(self) -> Event:
        """The end of one of the tasks in flight."""

    @abc.abstractmethod
    def stop(self) -> None: ...


class InlinePool(Pool):
    """Runs the task in this process: no start-up, and a debugger sees everything."""

    workers = capacity = 1

    def __init__(self, job: Job, progress: Progress) -> None:
        self._worker = Worker(job)
        self._progress = progress
        self._task: ShardTask | None = None

    def submit(self, task: ShardTask) -> None:
        self._task = task

    def wait(self) -> Event:
        assert self._task is not None
        task, self._task = self._task, None
        return Finished(task, self._worker.run(task, self._progress))

    def stop(self) -> None:
        pass
