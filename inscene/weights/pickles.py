"""Opening weights that are stored as pickles, which may carry code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from inscene.weights.model_files import check_exists, unreadable


def load_pickle(path: Path, what: str = "a file of weights") -> Any:
    """What ``torch.save`` has written, on the CPU: tensors and plain containers only. ``what`` the
    file should be, for messages.

    Raises ``MachineError`` for a pickle that names anything else, before any of it runs, and for a
    file that is missing or damaged.
    """
    import torch

    check_exists(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise unreadable(path, what, error) from error
