"""Facts of this machine, taken fast: neither torch nor Ray is imported."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NVIDIA_SMI_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Gpu:
    name: str
    memory_bytes: int | None
    """None where the driver does not say it."""
    driver: str


@dataclass(frozen=True)
class Machine:
    python: str
    system: str
    cpus: int
    """That this process may use."""
    ram_bytes: int
    """Of the machine, or what its container may use where that is less."""
    ram_free_bytes: int
    disk_free_bytes: int
    """Where weights are kept."""
    gpus: tuple[Gpu, ...]


def look(weights_folder: Path) -> Machine:
    """Look around. ``weights_folder`` need not exist yet."""
    import psutil

    memory = psutil.virtual_memory()
    limit = _container_limit_bytes()
    total = min(memory.total, limit) if limit else memory.total
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpus=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        ram_bytes=total,
        ram_free_bytes=min(memory.available, total),
        disk_free_bytes=free_disk_bytes(weights_folder),
        gpus=nvidia_gpus(),
    )


def free_disk_bytes(folder: Path) -> int:
    """Where the folder is, or will be."""
    return shutil.disk_usage(_existing(folder)).free


@functools.cache
def version_of(package: str) -> str | None:
    """Of an installed distribution, from its metadata."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _container_limit_bytes() -> int | None:
    """Of cgroup v2; ``max`` or no such file is no limit."""
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        return None


def nvidia_gpus() -> tuple[Gpu, ...]:
    """As the driver's own tool lists them; () where it is not there or does not answer."""
    command = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,driver_version",
        "--format=csv,noheader,nounits",
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [line.split(", ") for line in done.stdout.splitlines()]
    return tuple(
        Gpu(name, int(mib) * 2**20 if mib.isdecimal() else None, driver)
        for name, mib, driver in (row for row in rows if len(row) == 3)
    )
