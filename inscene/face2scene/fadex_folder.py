"""FaDeX alone, as a folder: what its training gives, before there is a restorer that listens to it.

fadex.json                                     family, SHA-256 of the files, facts of its training
fadex/config.json, fadex/diffusion_pytorch_model.safetensors    as in a whole checkpoint
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from inscene.errors import UsageError, VerificationError
from inscene.face2scene import document, hub_repo
from inscene.face2scene.config import FamilyName
from inscene.face2scene.fadex import FaDeX

FADEX_DOCUMENT = "fadex.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class SavedFaDeX:
    fadex: FaDeX
    """In evaluation mode, float32, on the CPU."""
    family: FamilyName
    files: Mapping[str, str]
    """SHA-256 of its files: what it is, wherever it lies."""


def is_fadex_folder(folder: Path) -> bool:
    return (folder / FADEX_DOCUMENT).is_file()


def save_fadex(
    fadex: FaDeX, family: FamilyName, folder: Path, facts: Mapping[str, Any] | None = None
) -> None:
    """Into an existing folder. ``facts``: JSON values, of how it was trained."""
    fadex.save_pretrained(folder / "fadex", safe_serialization=True)
    files = {
        f"fadex/{name}": document.sha256_of(folder / "fadex" / name)
        for name in document.DIFFUSERS_FILES
    }
    stated = {
        "format_version": FORMAT_VERSION,
        "family": family,
        "files": files,
        "training": dict(facts or {}),
    }
    text = json.dumps(stated, indent=2, ensure_ascii=False) + "\n"
    (folder / FADEX_DOCUMENT).write_text(text, encoding="utf-8")


def load_fadex(place: str | Path) -> SavedFaDeX:
    """``place``: such a folder, a run of ``inscene train fadex`` that has ended, a whole
    checkpoint, ``OWNER/NAME`` on the Hub, or ``face2scene-small``, which ships.

    Raises ``UsageError`` where it is none of these, ``VerificationError`` where a file is missing
    or not the one that was saved.
    """
    folder = hub_repo.local_folder(place)
    if not is_fadex_folder(folder) and is_fadex_folder(folder / "model"):
        folder = folder / "model"
    if is_fadex_folder(folder):
        family, files = _read(folder)
    elif document.is_checkpoint(folder):
        config, hashes = document.read(folder)
        document.verify(folder, config, hashes)
        family = config.family
        files = {name: one for name, one in hashes.items() if name.startswith("fadex/")}
    else:
        raise UsageError(
            f"holds no FaDeX: neither {FADEX_DOCUMENT} nor {document.DOCUMENT}",
            where=str(folder),
            next_step="Name the model/ of a run of inscene train fadex, or a whole checkpoint.",
        )
    fadex: FaDeX = FaDeX.from_pretrained(
        folder / "fadex", local_files_only=True, use_safetensors=True, torch_dtype=torch.float32
    )
    return SavedFaDeX(fadex.eval(), family, files)


def _read(folder: Path) -> tuple[FamilyName, dict[str, str]]:
    file = folder / FADEX_DOCUMENT
    try:
        stated = json.loads(file.read_text(encoding="utf-8"))
        version, family, files = stated["format_version"], stated["family"], dict(stated["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError("it cannot be read", where=str(file), why=f"{error}") from error
    if version != FORMAT_VERSION or family not in get_args(FamilyName):
        raise UsageError(
            f"its format is version {version} of the family {family!r}, and this program reads "
            f"version {FORMAT_VERSION}",
            where=str(file),
            next_step="Install a newer inscene: pip install --upgrade inscene",
        )
    for name in (f"fadex/{one}" for one in document.DIFFUSERS_FILES):
        there = (folder / name).is_file()
        if not there or document.sha256_of(folder / name) != files.get(name):
            raise VerificationError(
                "FaDeX is not what it was when it was saved",
                where=str(folder / name),
                why="It is another file." if there else "It is missing.",
                next_step="Fetch it again, or take another checkpoint of its run.",
            )
    return family, files
