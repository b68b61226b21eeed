"""Batches made ahead in worker processes, in the order of their steps."""

from __future__ import annotations

import contextlib
import pickle
import signal
import time
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from inscene.errors import InsceneError, MachineError, SampleError
from inscene.quiet import only_errors
from inscene.training.order import Share

B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)
PREFETCH = 2
"""Batches that each worker has ready at most."""


class Batches(Protocol[B_co]):
    """What makes a step's batch. Pickled once into each worker, so that models and open files have
    no place in it; a cache that is filled in the worker has."""

    def batch(self, step: int) -> B_co:
        """Of step ``step``, from 0: a function of the step alone."""


class Shared(Generic[B]):
    """What one of several workers has of each batch. Pickles as its source does."""

    def __init__(self, source: Any, share: Share) -> None:
        """``source``: its ``batch`` also takes a share."""
        self._source, self._share = source, share

    def batch(self, step: int) -> B:
        found: B = self._source.batch(step, self._share)
        return found


class _Steps(Dataset[Any]):
    """Step -> batch. Errors are values: torch's own way of passing them on keeps only a text."""

    def __init__(self, source: Batches[Any]) -> None:
        self.source = source

    def __getitem__(self, step: int) -> Any:
        try:
            return self.source.batch(step)
        except (InsceneError, SampleError) as error:
            return _Failed(error)

    def __reduce__(self) -> tuple[Any, ...]:
        # In an envelope: what it takes to open it is imported in the worker, in silence.
        return _opened, (pickle.dumps(self.source),)


def _opened(envelope: bytes) -> _Steps:
    with only_errors("bitsandbytes"):
        return _Steps(pickle.loads(envelope))


class _Failed:
    def __init__(self, error: Exception) -> None:
        self.error = error


class Loader(Generic[B]):
    """A context manager; inside it, an iterator over ``(step, batch)``."""

    def __init__(
        self, source: Batches[B], first: int, end: int, workers: int, *, pin: bool = False
    ) -> None:
        """Steps ``first`` to ``end`` - 1. No ``workers``: made when they are asked for. ``pin``:
        in memory that a GPU reads faster."""
        self.waited_s = 0.0
        """Time spent waiting for batches since it was last set to 0."""
        self._source, self._steps, self._workers, self._pin = (
            source,
            range(first, end),
            workers,
            pin,
        )
        self._iterator: Any = None

    def __enter__(self) -> Loader[B]:
        loader: DataLoader[Any] = DataLoader(
            _Steps(self._source),
            batch_size=None,
            sampler=self._steps,
            num_workers=self._workers,
            collate_fn=_as_it_is,
            # Its own, so that starting it draws nothing from the generator that training uses.
            generator=torch.Generator(),
            # A fork would copy locks that threads of torch and OpenCV hold.
            multiprocessing_context="spawn" if self._workers else None,
            prefetch_factor=PREFETCH if self._workers else None,
            worker_init_fn=_prepare_worker,
            pin_memory=self._pin,
        )
        with _ctrl_c_is_ours():
            self._iterator = iter(loader)
        return self

    def __exit__(self, *_: object) -> None:
        self._iterator = None  # ends the workers

    def __iter__(self) -> Iterator[tuple[int, B]]:
        for step in self._steps:
            since = time.perf_counter()
            try:
                batch = next(self._iterator)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise MachineError(
                    "a worker that makes batches has died",
                    why=f"{str(error).splitlines()[0]}.",
                    next_step="Out of memory? Use fewer workers. The same command resumes.",
                ) from error
            self.waited_s += time.perf_counter() - since
            if isinstance(batch, _Failed):
                raise batch.error
            yield step, batch


def _as_it_is(batch: Any) -> Any:
    return batch


def _prepare_worker(_: int) -> None:
    """Ctrl-C and a scheduler's SIGTERM reach the whole group of processes: the run decides when its
    workers end. They also end by themselves when it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)  # the workers are the parallelism


@contextlib.contextmanager
def _ctrl_c_is_ours() -> Iterator[None]:
    """Processes that are born now leave Ctrl-C alone from the first moment on: they inherit what is
    blocked. Here it is kept waiting for as long."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
