"""The checkpoint that ships with inscene: small, and there without a download."""

from __future__ import annotations

from pathlib import Path

from inscene.errors import MachineError

NAME = "face2scene-small"
"""Always this one, wherever a checkpoint is named; a folder of that name is ``./face2scene-small``,
or a ``Path``."""
TOKENS = 21
"""Known without reading it."""
WHAT = "the small model that ships with inscene, trained on 271 photographs: for trying out"
FOLDER = Path(__file__).resolve().parent.parent / "checkpoints" / NAME


def embedded_folder() -> Path:
    """Raises ``MachineError`` where whoever packed this installation left it out."""
    if not FOLDER.is_dir():
        raise MachineError(
            f"{NAME} is not in this installation",
            where=str(FOLDER),
            next_step="Install inscene again, or name another checkpoint: a folder, or OWNER/NAME "
            "on the Hub.",
        )
    return FOLDER
