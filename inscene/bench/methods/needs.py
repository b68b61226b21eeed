"""What a method would run and what it lacks, in words: for ``--plan`` and before a run."""

from __future__ import annotations

import functools

from inscene.bench.methods.base import Method
from inscene.bench.methods.command import Command
from inscene.doctor.machine import nvidia_gpus
from inscene.errors import MachineError


def what_is_missing(method: Method) -> list[str]:
    """What this machine lacks to run it, a sentence each; empty where it can run."""
    found = method.missing()
    if isinstance(method, Command) and (wanted := method.manifest.vram_gb) is not None:
        there = gpu_memory_gb()
        if there is None:
            found.append(f"It needs a GPU with {wanted:g} GB; nvidia-smi shows none here.")
        elif there < wanted:
            found.append(f"It needs a GPU with {wanted:g} GB; the largest here has {there:.0f} GB.")
    return found


def describe(method: Method) -> list[str]:
    """What would be run, a line each: ``key: value``."""
    facts = {}
    if (manifest := method.manifest) is not None:
        facts = {"title": manifest.title, "paper": manifest.paper, "licence": manifest.licence}
    facts |= method.facts()
    return [f"{key}: {value}" for key, value in facts.items() if value]


def require(method: Method) -> None:
    """Raise :class:`MachineError` where the method cannot run here. A GPU that seems too small is
    no reason: only its memory as sold is known."""
    if missing := method.missing():
        raise MachineError(f"method {method.name!r} cannot run here", why="\n  ".join(missing))


@functools.cache
def gpu_memory_gb() -> float | None:
    """Of the largest NVIDIA GPU, 10⁹ bytes; None where there is none."""
    sizes = [gpu.memory_bytes for gpu in nvidia_gpus() if gpu.memory_bytes is not None]
    return max(sizes) / 1e9 if sizes else None
