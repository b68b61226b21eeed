"""Files of weights that are not what they should be, and how the user learns of it."""

from __future__ import annotations

import re
from pathlib import Path

from inscene.errors import MachineError

VERIFY = "Run: inscene weights verify"


def check_exists(file: Path) -> None:
    """Raises ``MachineError`` where there is no such file: no library gets to download it."""
    if not file.is_file():
        raise MachineError("there is no such model file", where=str(file), next_step=VERIFY)


def not_a_model(file: Path, what: str, why: str) -> MachineError:
    """``what`` it should be; ``why`` it is not, a sentence."""
    return MachineError(f"this is not {what}", where=str(file), why=why, next_step=VERIFY)


def unreadable(file: Path, what: str, error: Exception) -> MachineError:
    """For a checkpoint that torch did not unpickle: it may carry code, which was not run."""
    cause = error.__cause__ or error
    forbidden = re.search(r"GLOBAL (\S+)", str(cause))  # as torch's restricted unpickler says it
    if forbidden is None:
        return not_a_model(file, what, f"It cannot be read as one ({type(cause).__name__}).")
    return MachineError(
        "this checkpoint carries code",
        where=str(file),
        why=f"It names {forbidden[1]}, which is no network known here. Nothing of it was run.",
        next_step="Do not open it by other means; get the weights from where they are published.",
    )
