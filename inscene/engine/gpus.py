"""Which GPUs there are, and how a worker gets one of its own."""

from __future__ import annotations

import os

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Environment variable: what a CUDA process sees, in its own order. Read once, when CUDA starts."""


def gpus_here() -> tuple[str, ...]:
    """The GPUs that this process may use, each as :data:`VISIBLE` names it; none without torch.

    torch is asked, and not a driver file, since only what torch can use is of any use; counting
    starts no CUDA context here that would take memory from a worker.
    """
    try:
        import torch
    except ImportError:
        return ()
    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return tuple(named[:count]) if named else tuple(str(index) for index in range(count))
