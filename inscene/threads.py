"""How many threads a model may use here."""

from __future__ import annotations

import os


def model_threads() -> int:
    """What ``OMP_NUM_THREADS`` says, else one a CPU that this process may use.

    Workers are the parallelism: each is born with ``OMP_NUM_THREADS=1`` (Ray sets it to an actor's
    whole CPUs), and onnxruntime, which does not read it, would take every core in each of them.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
