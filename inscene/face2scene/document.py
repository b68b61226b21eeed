"""What a checkpoint's folder says of itself, read without the libraries of its models.

``face2scene.json`` is the configuration and the SHA-256 of each file. Whoever only wants to know
what a checkpoint is, or whether it is whole, waits for no import of torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from inscene.errors import UsageError, VerificationError
from inscene.face2scene.config import FORMAT_VERSION, Face2SceneConfig

DOCUMENT = "face2scene.json"
TRAINING = "training"
"""A folder for whoever trains; nothing in it is part of the model, hashed or read here."""
REFUSED_SUFFIXES = {".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth"}
"""Loading such files runs what is in them."""
DIFFUSERS_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
CONV_IN = "unet_conv_in/model.safetensors"
PROMPTS_FILE = "prompts.safetensors"
LORA_FILE = "pytorch_lora_weights.safetensors"
"""As diffusers names it."""


def is_checkpoint(folder: Path) -> bool:
    return (folder / DOCUMENT).is_file()


def read(folder: Path) -> tuple[Face2SceneConfig, dict[str, str]]:
    """The configuration, and path -> SHA-256 of the files. Raises ``UsageError``."""
    document = folder / DOCUMENT
    if not document.is_file():
        raise UsageError(
            f"this is no Face2Scene checkpoint: it has no {DOCUMENT}", where=str(folder)
        )
    try:
        stated = json.loads(document.read_text(encoding="utf-8"))
        version = stated["format_version"]
        if version == FORMAT_VERSION:
            hashes: dict[str, str] = dict(stated.pop("files"))
            return Face2SceneConfig.model_validate(stated), hashes
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise UsageError("it cannot be read", where=str(document), why=f"{error}") from error
    raise UsageError(
        f"its format is version {version}, and this program reads version {FORMAT_VERSION}",
        where=str(document),
        next_step="Install a newer inscene: pip install --upgrade inscene",
    )


def verify(folder: Path, config: Face2SceneConfig, hashes: dict[str, str]) -> None:
    """Each file that is going to be read is there, is named in ``hashes`` and has that hash.

    Raises ``VerificationError``.
    """
    for path in files_of(folder):
        if path.suffix.lower() in REFUSED_SUFFIXES:
            raise VerificationError(
                "a checkpoint has no such files, and they can run code when they are loaded",
                where=str(folder / path),
                next_step="Remove it, or fetch the checkpoint from where it was published.",
            )
    for name in sorted({*expected_files(config), *hashes}):
        file = folder / name
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise VerificationError(f"{DOCUMENT} names a file outside: {name}", where=str(folder))
        if name not in hashes:
            why = f"{DOCUMENT} has no hash of it."
        elif not file.is_file():
            why = "It is missing."
        elif (found := sha256_of(file)) != hashes[name]:
            why = f"Its SHA-256 is {found}; {DOCUMENT} says {hashes[name]}."
        else:
            continue
        raise VerificationError(
            "the checkpoint is not what it was when it was saved",
            where=str(file),
            why=why,
            next_step="Fetch it again, or restore it from a backup.",
        )


def expected_files(config: Face2SceneConfig) -> list[str]:
    """What a checkpoint of this configuration has, beside ``face2scene.json``."""
    files = [f"{part}/{name}" for part in ("fadex", "mapnet") for name in DIFFUSERS_FILES]
    files.append(f"prompt_embeds/{PROMPTS_FILE}")
    if config.base is None:
        files += [f"{part}/{name}" for part in ("vae", "unet") for name in DIFFUSERS_FILES]
    elif config.lora.train_conv_in:
        files.append(CONV_IN)
    if config.trainable == "lora":
        files += [f"{part}/{LORA_FILE}" for part in ("unet_lora", "vae_lora")]
    return files


def files_of(folder: Path) -> Iterator[Path]:
    """Below the folder, without ``training/``."""
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] != TRAINING and relative.name != DOCUMENT:
            yield relative


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
