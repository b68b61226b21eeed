"""Passes of one implementation over the test images, in a process and on a thread of its own.

The parent asks for one pass at a time, so that the passes of several implementations alternate and
what else the machine does falls on all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from degrade_memory import peak_mb

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)


@dataclass(frozen=True)
class Sample:
    """One line of a set's list: an image's file and how it is degraded."""

    image: str
    operator: str
    """JSON."""
    noise_seed: int


@dataclass(frozen=True)
class Pass:
    cpu_ms: float
    """User and system, mean of the images."""
    wall_ms: float
    steps_ms: dict[str, float]
    """CPU, mean of the images; empty where no steps are timed."""


def write_set(folder: Path, samples: Sequence[Sample]) -> None:
    (folder / "set.json").write_text(json.dumps([vars(sample) for sample in samples]))


def read_set(folder: Path) -> list[Sample]:
    return [Sample(**entry) for entry in json.loads((folder / "set.json").read_text())]


class Runner:
    """The parent's end."""

    def __init__(self, implementation: str, folder: Path, *, steps: bool = False) -> None:
        self.implementation = implementation
        task = json.dumps([implementation, str(folder), steps])
        self._child = subprocess.Popen(
            [sys.executable, __file__, task],
            env={**os.environ, **ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def one_pass(self) -> Pass:
        return Pass(**self._ask("pass"))

    def close(self) -> float:
        """End the process; its peak memory, MB."""
        answer: float = self._ask("end")
        self._child.communicate()
        return answer

    def kill(self) -> None:
        self._child.kill()
        self._child.communicate()

    def _ask(self, what: str) -> Any:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(what + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and says so below
        line = self._child.stdout.readline()
        if not line:
            code = self._child.wait()
            raise SystemExit(f"{self.implementation} ended with exit code {code}, see above")
        return json.loads(line)


def alternate(
    implementations: Sequence[str], folder: Path, passes: int, *, steps: bool = False
) -> dict[str, tuple[list[Pass], float]]:
    """For each implementation its passes but the first, which warms up, and its peak memory, MB."""
    runners = [Runner(name, folder, steps=steps) for name in implementations]
    try:
        rounds = [[runner.one_pass() for runner in runners] for _ in range(passes + 1)]
        peaks = [runner.close() for runner in runners]
    except BaseException:
        for runner in runners:
            runner.kill()
        raise
    return {
        name: ([one_round[index] for one_round in rounds[1:]], peaks[index])
        for index, name in enumerate(implementations)
    }


# --- the child -----------------------------------------------------------------------------------


def implementation(name: str) -> Callable[..., Any]:
    """``degrade(image, operator, noise_seed)`` of one implementation."""
    if name == "engine":
        from inscene.degrade import degrade

        return degrade
    if name == "plain":
        import degrade_plain

        return degrade_plain.degrade
    import degrade_torch

    return {
        "torch": degrade_torch.degrade,
        "torch grouped": degrade_torch.degrade_grouped,
        "torch, 8 at once": degrade_torch.degrade_batch,
    }[name]


def images_a_call(name: str) -> int:
    return 8 if name == "torch, 8 at once" else 1


def watch_steps(name: str) -> dict[str, float]:
    """Put clocks around the steps of an implementation; the seconds that they will count."""
    import degrade_steps

    clock = degrade_steps.StepClock()
    if name == "engine":
        import inscene.degrade.apply

        clock.watch(inscene.degrade.apply, degrade_steps.ENGINE_STEPS)
    elif name == "plain":
        import degrade_plain

        clock.watch(degrade_plain, degrade_plain.STEPS)
    else:
        import degrade_torch

        clock.watch(degrade_torch, degrade_torch.STEPS)
    return clock.seconds


def use_one_thread(name: str) -> None:
    import cv2

    cv2.setNumThreads(1)
    if name.startswith("torch"):
        import torch

        torch.set_num_threads(1)


def child(name: str, folder: Path, steps: bool) -> None:
    import numpy as np

    from inscene.degrade import Operator

    use_one_thread(name)
    seconds = watch_steps(name) if steps else {}
    degrade = implementation(name)
    samples = read_set(folder)
    operators = [Operator.from_json(sample.operator) for sample in samples]
    for line in sys.stdin:
        if line.strip() == "end":
            print(json.dumps(peak_mb()), flush=True)
            return
        cpu, wall = 0.0, 0.0
        seconds.clear()
        for sample, operator in zip(samples, operators, strict=True):
            # One at a time, outside the clock: the whole set would count as the engine's memory.
            image = np.load(folder / sample.image)
            began, clock = time.process_time(), time.perf_counter()
            degrade(image, operator, sample.noise_seed)
            cpu += time.process_time() - began
            wall += time.perf_counter() - clock
        in_ms = 1000 / len(samples) / images_a_call(name)
        by_step = {step: spent * in_ms for step, spent in seconds.items()}
        if steps:
            by_step["rest"] = cpu * in_ms - sum(by_step.values())
        answer = {"cpu_ms": cpu * in_ms, "wall_ms": wall * in_ms, "steps_ms": by_step}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    task_name, task_folder, task_steps = json.loads(sys.argv[1])
    child(task_name, Path(task_folder), task_steps)
