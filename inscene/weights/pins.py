"""``pins.json``: the hash that each file had when it was first verified.

The manifest does not know every hash. What it does not know is pinned at the first download that
was verified otherwise (by size, and by the hash that the hub itself states); a file that later
differs is an error, wherever it comes from.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from inscene.errors import MachineError
from inscene.weights.folder import weights_folder


@dataclass(frozen=True)
class Pin:
    sha256: str
    bytes: int
    modified_ns: int
    changed_ns: int
    """Times of its content and of its entry, as it was verified: as long as they and its size agree
    it is not hashed again. A ``modified_ns`` of -1 marks a file that was found to have changed."""
    verified_by: str
    """``manifest``, ``prefix`` (of the manifest's hash), ``hub`` (the hash that it stated), ``first
    download`` (by size alone) or ``folder`` (taken from one, by size alone)."""
    origin: str
    """The address, with the commit where there is one, or the folder it was taken from."""


def _file() -> Path:
    return weights_folder() / "pins.json"


def read_pins() -> dict[str, Pin]:
    """By ``NAME/path``."""
    path = _file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: Pin(**facts) for key, facts in content.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise MachineError(
            "is damaged",
            where=str(path),
            why=f"{error}.",
            next_step="Delete it: 'inscene weights verify' pins what is here anew.",
        ) from error


def write_pin(key: str, pin: Pin) -> None:
    """Add or replace one; other processes may do the same at the same time."""
    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        pins = {**read_pins(), key: pin}
        content = {name: asdict(one) for name, one in sorted(pins.items())}
        temporary = path.with_suffix(f".tmp-{os.getpid()}")
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, path)
