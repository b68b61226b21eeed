"""Ray Core actors, on this machine or a cluster; messages carry ids and paths, never pixels.

Ray Core and not Ray Data: the exactly-once accounting is the ledger's, and Ray Data adds seconds of
start-up and duplicates rows on resume for in-memory sources (Ray 2.60).
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from typing import Any

from inscene.engine.job import Job, ShardTask
from inscene.engine.pool import Died, Event, Failed, Finished, Pool
from inscene.engine.worker import Progress, Worker
from inscene.errors import MachineError

SHARDS_IN_FLIGHT = 2  # an actor: the next one is there when it ends one
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 5.0
RELEASE_TIMEOUT_S = 5.0
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
OBJECT_STORE_BYTES = 80 * 2**20  # Ray's smallest; nothing large passes through it


class RayPool(Pool):
    """``gpu_workers``: where a step wants a GPU, and the cluster has any, as many workers as there
    are free ones, and no more than this; each has one, and Ray hides the others from it. Without
    any, ``workers`` work on CPUs."""

    def __init__(
        self,
        job: Job,
        workers: int,
        progress: Progress,
        address: str | None = None,
        gpu_workers: int | None = None,
    ) -> None:
        self._progress = progress
        self._ray = import_ray()
        self._started_here = connect(self._ray, address)
        gpus = self._gpus(gpu_workers) if gpu_workers else 0
        self.workers = workers = gpus or workers
        self.capacity = workers * SHARDS_IN_FLIGHT
        share = self._cpu_share(workers)
        actor = self._ray.remote(_Actor).options(
            num_cpus=share, num_gpus=1 if gpus else None, max_restarts=-1, max_task_retries=0
        )
        self._actors = [actor.remote(job) for _ in range(workers)]
        self._in_flight: dict[Any, tuple[Any, ShardTask]] = {}
        self._await_start(workers, f"{share} CPU" + (" and a GPU" if gpus else ""))

    def _gpus(self, most: int) -> int:
        """GPUs to take; 0 where the cluster has none."""
        if not self._ray.cluster_resources().get("GPU"):
            return 0
        free = int(self._free("GPU", most))
        if free < 1:
            raise MachineError(
                "Ray has no free GPU",
                why="Other jobs hold all of them.",
                next_step="Wait for them.",
            )
        return min(most, free)

    def _cpu_share(self, workers: int) -> float:
        """CPUs an actor claims: a share that all of them together can have, at most nearly one."""
        free = self._free("CPU", 0.9 * workers, used=0.9)
        if free <= 0:
            raise MachineError(
                "Ray has no free CPU",
                why="Other jobs hold all of them.",
                next_step="Wait for them, or use --executor process.",
            )
        return min(0.9, int(900 * free / workers) / 1000)

    def _free(self, kind: str, wanted: float, used: float = 1.0) -> float:
        """Free CPUs or GPUs of the cluster, of which this share can be used. Ray gives those of
        actors that have just ended back a little later, so fewer than wanted are looked at again
        for some seconds."""
        wanted = min(wanted, used * float(self._ray.cluster_resources().get(kind, 0.0)))
        until = time.monotonic() + RELEASE_TIMEOUT_S
        while True:
            free = float(self._ray.available_resources().get(kind, 0.0))
            if free >= wanted or time.monotonic() > until:
                return free
            time.sleep(0.1)

    def _await_start(self, workers: int, each: str) -> None:
        pings = [actor.ping.remote() for actor in self._actors]
        ready, _ = self._ray.wait(pings, num_returns=workers, timeout=START_TIMEOUT_S)
        if len(ready) < workers:
            self.stop()
            raise MachineError(
                f"Ray started {len(ready)} of {workers} workers in {START_TIMEOUT_S:.0f} s",
                why=f"Each needs {each} on one node.",
                next_step="Ask for fewer with --workers, or use --executor process.",
            )

    def submit(self, task: ShardTask) -> None:
        load = {id(actor): 0 for actor in self._actors}
        for actor, _ in self._in_flight.values():
            load[id(actor)] += 1
        actor = min(self._actors, key=lambda one: load[id(one)])
        self._in_flight[actor.run.remote(task)] = (actor, task)

    def wait(self) -> Event:
        (ref,), _ = self._ray.wait(list(self._in_flight), num_returns=1)
        _, task = self._in_flight.pop(ref)
        errors = self._ray.exceptions
        try:
            record = self._ray.get(ref)
        except errors.RayTaskError as error:
            return Failed(task, error.cause if isinstance(error.cause, Exception) else error)
        except (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            return Died(task, str(error).splitlines()[0])
        self._progress(
            record.inputs, record.kept, sum(record.dropped.values()), sum(record.errors.values())
        )
        return Finished(task, record)

    def stop(self) -> None:
        for actor in self._actors:
            with contextlib.suppress(Exception):  # it may be gone already
                self._ray.kill(actor)
        if self._started_here:
            self._ray.shutdown()


def import_ray(wanted_by: str = "the executor 'ray'") -> Any:
    """Raises ``MachineError`` where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray's own deprecations are not the user's business
            import ray
            import ray.exceptions
    except ImportError as error:
        raise MachineError(
            f"{wanted_by} needs Ray", next_step="Install it: pip install 'inscene[cluster]'."
        ) from error
    return ray


def connect(ray: Any, address: str | None, otherwise: str = "Use --executor process.") -> bool:
    """Join the cluster at the address, or a running session, or start one here (True)."""
    if ray.is_initialized():
        return False
    import os

    if address:
        _must_answer(address)
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            with _tokens_left_out():
                ray.init(
                    num_cpus=max(1, os.cpu_count() or 1),
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    **quiet,
                )
    except Exception as error:
        raise MachineError(
            "cannot reach Ray" if address else "cannot start Ray",
            where=address,
            why=f"{type(error).__name__}: {error}",
            next_step="Check --ray-address." if address else otherwise,
        ) from error
    return True


@contextlib.contextmanager
def _tokens_left_out() -> Iterator[None]:
    """Ray's processes have the environment that it is started in, and its logs and dashboards show
    it. Workers on this machine read the login's file."""
    import os

    kept = {name: os.environ.pop(name) for name in TOKEN_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _must_answer(address: str) -> None:
    """Ray itself tries an address that nobody answers for minutes."""
    import socket
    from urllib.parse import urlsplit

    place = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        if place.hostname is None or place.port is None:
            return  # "auto", "local": Ray finds these by itself, and fails at once
        socket.create_connection((place.hostname, place.port), timeout=ANSWER_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise MachineError(
            "cannot reach Ray", where=address, why=f"{error}.", next_step="Check --ray-address."
        ) from error


class _Actor:
    """One worker, loaded once."""

    def __init__(self, job: Job) -> None:
        from inscene.engine.process_pool import one_cv2_thread

        one_cv2_thread()
        self._job = job
        self._worker: Worker | None = None

    def ping(self) -> None:
        pass

    def run(self, task: ShardTask) -> Any:
        self._worker = self._worker or Worker(self._job)
        return self._worker.run(task, lambda *counts: None)
