"""Peak memory of a process."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_mb(pid: int | None = None) -> float:
    """The most resident memory that a process (default: this one) has had so far, MB of 10⁶ bytes.

    Shared pages count in full. 0 for another process that has ended; where the system keeps no
    peak of other processes, what one has at the moment.
    """
    # Not getrusage: on Linux its peak of a new process starts at that of the process it came from.
    if Path("/proc/self/status").exists():
        return _from_proc(f"/proc/{pid or 'self'}/status")
    if pid is None:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    import psutil

    try:
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    except psutil.NoSuchProcess:
        return 0.0


def _from_proc(status: str) -> float:
    try:
        lines = Path(status).read_text().splitlines()
    except OSError:
        return 0.0
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return kilobytes[0] * 1024 / 1e6 if kilobytes else 0.0  # none: it waits to be collected
