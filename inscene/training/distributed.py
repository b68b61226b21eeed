"""A training with several workers: Ray Train's processes, each with its part of every batch.

What they exchange is in :mod:`inscene.face2scene.ranks`, and who writes in
:mod:`inscene.training.loop`. Here they are started, watched and asked to end.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from inscene.engine.ray_pool import connect, import_ray
from inscene.errors import InsceneError, MachineError, UsageError
from inscene.quiet import only_errors
from inscene.training.loop import Trained
from inscene.training.progress import Display, Silent, in_words
from inscene.training.run_folder import STOP, RunFolder

LOOK_EVERY_S = 0.5
"""[chosen] At the log, for what the workers have done since."""
START_TIMEOUT_S = 600
"""[chosen] For all workers to be there."""
TIMEOUT_S = 3600
"""[chosen] A worker that waits for the others gives up: longer than any validation."""


def train_with(
    work: Callable[[Any], Trained],
    planned: Any,
    run: RunFolder,
    *,
    workers: int,
    device: str = "auto",
    address: str | None = None,
    display: Display | None = None,
) -> Trained:
    """``work(planned)`` in ``workers`` processes of a Ray cluster: the one at ``address``, one that
    runs already, or one of this machine, begun for it. ``work`` and ``planned`` are pickled.

    Ctrl-C and SIGTERM as in :func:`inscene.training.loop.train`. Raises what ``work`` raises, and
    ``MachineError`` where there is no Ray, there are too few free processors or GPUs, or a worker
    died: the same command then goes on.
    """
    ray = import_ray(f"training with {workers} workers")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"device is {device!r}, and each of {workers} workers has a GPU of its own",
            next_step="Set device to auto, cuda or cpu.",
        )
    settings = {
        # Relative paths stay what they were, and nothing is printed for each process.
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_TRAIN_METRICS_ENABLED": "0",
        # A busy machine takes longer than Ray's minute to import torch, and each try begins anew.
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(START_TIMEOUT_S),
    }
    with _environment(settings), contextlib.ExitStack() as ending:
        begun = connect(ray, address, "Train with one worker: leave --workers out.")
        if begun:
            ending.callback(ray.shutdown)
        gpu, share = _resources(ray, workers, device)
        storage = ending.enter_context(tempfile.TemporaryDirectory(prefix="inscene-train-"))
        stop = run / STOP
        stop.unlink(missing_ok=True)
        ending.callback(lambda: stop.unlink(missing_ok=True))
        trainer = _trainer(work, planned, workers, gpu, share, storage)
        return _watched(trainer, run, display or Silent())


def _trainer(
    work: Callable[[Any], Trained],
    planned: Any,
    workers: int,
    gpu: bool,
    share: int,
    storage: str,
) -> Any:
    with only_errors("bitsandbytes"):
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

    return TorchTrainer(
        _in_worker,
        # In an envelope: Ray's controller, which passes it on, need not import what is trained.
        train_loop_config={"envelope": pickle.dumps((work, planned))},
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo", timeout_s=TIMEOUT_S),
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=gpu, resources_per_worker={"CPU": share, "GPU": int(gpu)}
        ),
        # Checkpoints are the run's; Ray has nothing to keep.
        run_config=RunConfig(storage_path=storage),
    )


def _in_worker(config: dict[str, Any]) -> Trained:
    with only_errors("bitsandbytes"):
        work, planned = pickle.loads(config["envelope"])
        done: Trained = work(planned)
    return done


def _resources(ray: Any, workers: int, device: str) -> tuple[bool, int]:
    """Whether each worker has a GPU, and how many processors: of one machine, as many as are free.
    Ray itself would wait for them without end."""
    there, free = ray.cluster_resources(), ray.available_resources()
    gpu = device == "cuda" or (device == "auto" and there.get("GPU", 0) > 0)
    for kind in ("CPU", "GPU") if gpu else ("CPU",):
        if free.get(kind, 0) < workers:
            raise MachineError(
                f"{workers} workers need {workers} free {kind}s, and Ray has "
                f"{int(free.get(kind, 0))} of {int(there.get(kind, 0))}",
                next_step="Use fewer --workers"
                + (", or --set device=cpu." if kind == "GPU" else ", or wait."),
            )
    alone = sum(bool(one.get("Alive")) for one in ray.nodes()) == 1
    return gpu, int(free["CPU"] // workers) if alone else 1


def _watched(trainer: Any, run: RunFolder, display: Display) -> Trained:
    """Ray waits in a thread: in the main one it would take Ctrl-C for an end at once."""
    ended: list[Any] = []

    def fit() -> None:
        try:
            ended.append(trainer.fit())
        except BaseException as error:
            ended.append(error)

    waiting = threading.Thread(target=fit, daemon=True)
    log = _Log(run, display)
    with _asked_to_stop(run, display):
        waiting.start()
        try:
            while waiting.is_alive():
                waiting.join(LOOK_EVERY_S)
                log.show()
        finally:
            display.close()
    (outcome,) = ended
    if isinstance(outcome, BaseException):
        raise _reason(outcome) from outcome
    done = outcome.return_value
    if not isinstance(done, Trained):
        raise MachineError(
            "the training ended without a result", next_step="The same command goes on with it."
        )
    return done


def _reason(error: BaseException) -> BaseException:
    """Of the errors of all workers, the one that explains the others."""
    failures = getattr(error, "worker_failures", None)
    if failures is None:
        return error
    causes = []
    for _, failure in sorted(failures.items()):
        one: BaseException | None = failure
        while one is not None:
            causes.append(getattr(one, "cause", None) or one)
            one = one.__cause__
    for cause in causes:
        if isinstance(cause, InsceneError):
            return cause
    lines = [str(one).strip().splitlines()[-1] for one in causes if str(one).strip()]
    return MachineError(
        "a worker has died",
        why=f"{lines[-1]}." if lines else None,
        next_step="Out of memory? Use fewer workers. The same command goes on.",
    )


class _Log:
    """What the first worker logs, as it is shown."""

    def __init__(self, run: RunFolder, display: Display) -> None:
        self._run, self._display = run, display
        latest = run.latest()
        done = latest[0] if latest else 0
        # Later lines are forgotten by the worker that goes on from there.
        self._seen = len([one for one in run.lines() if latest and one["step"] <= done])
        display.begin(done)

    def show(self) -> None:
        lines = self._run.lines()
        for line in lines[self._seen :]:
            if line["kind"] == "train":
                rate = line.get("images_per_s") or 0.0
                self._display.step(line["step"], line.get("loss") or float("nan"), rate)
            elif line["kind"] == "validation":
                numbers = {
                    name: value
                    for name, value in line.items()
                    if name not in ("step", "kind") and value is not None
                }
                if numbers:
                    self._display.note(f"after {line['step']} steps: {in_words(numbers)}")
        self._seen = max(self._seen, len(lines))


@contextlib.contextmanager
def _asked_to_stop(run: RunFolder, display: Display) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        Path(run.folder).mkdir(parents=True, exist_ok=True)
        (run / STOP).touch()
        display.note("ending after this step, with a checkpoint (Ctrl-C again: at once)")

    before = {one: signal.signal(one, ask) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
