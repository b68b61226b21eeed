"""A model as a folder: ``face2scene.json``, and beside it what its weights are.

Only what training changed is in it where there is a base model that others publish: adapters, one
convolution, and the two parts that are Face2Scene's own. All tensors are safetensors, and no other
kind of file is ever opened. ``face2scene.json`` has the SHA-256 of each file.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from inscene.errors import UsageError, VerificationError
from inscene.face2scene import lora, prompts
from inscene.face2scene.base import Base, load_base, load_unet, load_vae, must_be_trainable
from inscene.face2scene.config import FORMAT_VERSION, Face2SceneConfig
from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.mapnet import MapNet
from inscene.face2scene.prompts import PromptEmbeds

DOCUMENT = "face2scene.json"
TRAINING = "training"
"""A folder for whoever trains; nothing in it is part of the model, hashed or read here."""
REFUSED_SUFFIXES = {".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth"}
"""Loading such files runs what is in them."""
_DIFFUSERS = ("config.json", "diffusion_pytorch_model.safetensors")
_CONV_IN = "unet_conv_in/model.safetensors"


@dataclass
class Parts:
    """All of a model, adapters in place."""

    config: Face2SceneConfig
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    fadex: FaDeX
    mapnet: MapNet
    prompts: PromptEmbeds


def save(parts: Parts, folder: Path, *, training: Callable[[Path], None] | None = None) -> None:
    """Write a checkpoint; ``training`` may fill the folder ``training/`` of it.

    All of it is written beside ``folder`` and renamed when it is whole. A checkpoint that is there
    already is replaced. Raises ``UsageError`` where something else is there, or where the adapters
    were fused and cannot be told from the base any more.
    """
    config = parts.config
    must_be_trainable(config)
    if config.trainable == "lora" and not (lora.targets(parts.unet) and lora.targets(parts.vae)):
        raise UsageError(
            "a model whose adapters were fused cannot be saved",
            next_step="Save it before optimised(fuse_lora=True), or load it anew.",
        )
    folder = folder.absolute()
    if folder.exists() and not (is_checkpoint(folder) or _is_empty_folder(folder)):
        raise UsageError(
            "there is something else, and it is not overwritten",
            where=str(folder),
            next_step="Choose a new folder, or one that has a checkpoint.",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        fresh = Path(temporary) / "new"
        fresh.mkdir()
        _write(parts, fresh)
        if training is not None:
            (fresh / TRAINING).mkdir()
            training(fresh / TRAINING)
        _settle(fresh)
        _put_in_place(fresh, folder, Path(temporary) / "old")


def load(folder: Path, *, base: Path | None = None, dtype: torch.dtype = torch.float32) -> Parts:
    """Read a checkpoint, on the CPU and in evaluation mode. ``base``: a folder with its base model,
    in place of the verified weights.

    Raises ``VerificationError`` where a file is missing, is another one than ``face2scene.json``
    says, or does not fit the others; ``UsageError`` where the folder is no checkpoint or one of a
    later version.
    """
    config, hashes = read(folder)
    verify(folder, config, hashes)
    if config.base is None:
        built = Base(load_vae(folder / "vae", dtype), load_unet(folder / "unet", dtype))
    else:
        built = load_base(config, base, dtype)
    vae, unet = built.vae, built.unet
    if config.base is not None and config.lora.train_conv_in:
        _load_conv_in(unet, folder / _CONV_IN)
    if config.trainable == "lora":
        lora.load(unet, folder / "unet_lora", config.lora)
        lora.load(vae, folder / "vae_lora", config.lora)
    own = {"local_files_only": True, "use_safetensors": True, "torch_dtype": dtype}
    parts = Parts(
        config,
        vae.eval(),
        unet.eval(),
        FaDeX.from_pretrained(folder / "fadex", **own).eval(),
        MapNet.from_pretrained(folder / "mapnet", **own).eval(),
        prompts.load(folder / "prompt_embeds").to(dtype=dtype),
    )
    _must_fit(parts, folder)
    return parts


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
    for path in _files(folder):
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
        elif (found := _sha256(file)) != hashes[name]:
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
    files = [f"{part}/{name}" for part in ("fadex", "mapnet") for name in _DIFFUSERS]
    files.append(f"prompt_embeds/{prompts.FILE_NAME}")
    if config.base is None:
        files += [f"{part}/{name}" for part in ("vae", "unet") for name in _DIFFUSERS]
    elif config.lora.train_conv_in:
        files.append(_CONV_IN)
    if config.trainable == "lora":
        files += [f"{part}/{lora.WEIGHT_NAME}" for part in ("unet_lora", "vae_lora")]
    return files


def _write(parts: Parts, folder: Path) -> None:
    config = parts.config
    parts.fadex.save_pretrained(folder / "fadex", safe_serialization=True)
    parts.mapnet.save_pretrained(folder / "mapnet", safe_serialization=True)
    prompts.save(parts.prompts, folder / "prompt_embeds")
    if config.base is None:
        # It is measured after the VAE was trained; whoever reads the VAE alone needs it too.
        parts.vae.register_to_config(scaling_factor=config.scaling_factor)
        for name, model in (("vae", parts.vae), ("unet", parts.unet)):
            model.save_config(folder / name)
            _save_tensors(lora.plain_state(model), folder / name / _DIFFUSERS[1])
    elif config.lora.train_conv_in:
        _save_tensors(parts.unet.conv_in.state_dict(), folder / _CONV_IN)
    if config.trainable == "lora":
        lora.save(parts.unet, folder / "unet_lora")
        lora.save(parts.vae, folder / "vae_lora")
    for path in _files(folder):
        if path.name == "config.json":
            _without_places(folder / path)
    missing = set(expected_files(config)) - {path.as_posix() for path in _files(folder)}
    if missing:  # e.g. a part of more than 10 GB, which diffusers would split
        raise RuntimeError(f"these were not written: {sorted(missing)}")
    document: dict[str, Any] = config.model_dump(mode="json")
    document["files"] = {path.as_posix(): _sha256(folder / path) for path in sorted(_files(folder))}
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    (folder / DOCUMENT).write_text(text, encoding="utf-8")


def _save_tensors(state: dict[str, torch.Tensor], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    save_file(tensors, file, {"format": "pt"})


def _without_places(config: Path) -> None:
    """Where diffusers read a part from is of no use to others, and a path of this machine."""
    stated = json.loads(config.read_text(encoding="utf-8"))
    stated.pop("_name_or_path", None)
    config.write_text(json.dumps(stated, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _settle(folder: Path) -> None:
    """Everything is on the disk, and readable for whom the user lets read."""
    mode = (folder / DOCUMENT).stat().st_mode  # safetensors makes files for their owner alone
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _put_in_place(fresh: Path, folder: Path, old: Path) -> None:
    """Two renames, and what was there before is back where the second one fails."""
    if folder.exists():
        folder.rename(old)
    try:
        fresh.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise


def _load_conv_in(unet: UNet2DConditionModel, file: Path) -> None:
    try:
        unet.conv_in.load_state_dict(load_file(file))
    except RuntimeError as error:
        raise VerificationError(
            "the first convolution does not fit the base model", where=str(file), why=f"{error}"
        ) from error


def _must_fit(parts: Parts, folder: Path) -> None:
    context = {
        "the UNet": parts.unet.config.cross_attention_dim,
        "MapNet": parts.mapnet.config.token_dim,
        "the prompts": parts.prompts.dim,
    }
    if len(set(context.values())) > 1:
        said = ", ".join(f"{name} {dim}" for name, dim in context.items())
        raise VerificationError(
            f"its parts are of different models: tokens have as many channels as {said}",
            where=str(folder),
        )
    scales = tuple(parts.mapnet.config.scales)
    if parts.config.token_scales not in ((), scales):
        raise VerificationError(
            f"MapNet has grids of {scales}, {DOCUMENT} says {parts.config.token_scales}",
            where=str(folder),
        )


def _files(folder: Path) -> Iterator[Path]:
    """Below the folder, without ``training/``."""
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] != TRAINING and relative.name != DOCUMENT:
            yield relative


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_empty_folder(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
