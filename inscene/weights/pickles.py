"""Opening weights that are stored as pickles, which may carry code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from inscene.errors import MachineError


def load_pickle(path: Path) -> Any:
    """What ``torch.save`` has written, on the CPU: tensors and plain containers only.

    Raises ``MachineError`` for a pickle that names anything else, before any of it runs, and for a
    file that is damaged.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MachineError(
            "refused: this file of weights carries code",
            where=str(path),
            why=f"{first_line}",
            next_step="Fetch the published file: inscene weights list names it.",
        ) from error
    except (RuntimeError, EOFError, ValueError) as error:
        raise MachineError(
            "is not a file of weights, or a damaged one",
            where=str(path),
            why=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            next_step="Run: inscene weights verify",
        ) from error
