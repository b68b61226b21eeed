"""Where a training runs."""

from __future__ import annotations

import torch

from inscene.errors import MachineError, UsageError


def find_device(name: str) -> torch.device:
    """Raises ``UsageError`` for a name that is none, ``MachineError`` for a GPU that is not
    here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"there is no device {name!r}", next_step="Use auto, cpu, cuda or cuda:1."
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MachineError(
            f"this machine has no {name}: torch sees {torch.cuda.device_count()} GPUs",
            next_step="Use --set device=cpu, or a torch that was built for this GPU.",
        )
    return device
