"""A model as a folder: ``face2scene.json``, and beside it what its weights are.

Only what training changed is in it where there is a base model that others publish: adapters, one
convolution, and the two parts that are Face2Scene's own. All tensors are safetensors, and no other
kind of file is ever opened. ``face2scene.json`` has the SHA-256 of each file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from inscene.errors import UsageError, VerificationError
from inscene.face2scene import lora, prompts
from inscene.face2scene.base import Base, load_base, load_unet, load_vae, must_be_trainable
from inscene.face2scene.config import Face2SceneConfig
from inscene.face2scene.document import (
    CONV_IN,
    DIFFUSERS_FILES,
    DOCUMENT,
    TRAINING,
    expected_files,
    files_of,
    is_checkpoint,
    read,
    sha256_of,
    verify,
)
from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.mapnet import MapNet
from inscene.face2scene.prompts import PromptEmbeds


@dataclass
class Parts:
    """All of a model, adapters in place."""

    config: Face2SceneConfig
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    fadex: FaDeX
    mapnet: MapNet
    prompts: PromptEmbeds


def save(
    parts: Parts,
    folder: Path,
    *,
    training: Callable[[Path], None] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a checkpoint; ``training`` may fill the folder ``training/`` of it. ``dtype``: what
    weights are stored as, e.g. ``torch.float16`` for half the size; the model stays as it is, and
    loading asks for its own type. The few statistics of batch norms are stored as they are: float16
    has no variances below 6e-8.

    All of it is written beside ``folder`` and renamed when it is whole. A checkpoint that is there
    already is replaced. Raises ``UsageError`` where something else is there, where a weight is too
    large for ``dtype``, or where the adapters were fused and cannot be told from the base any more.
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
        _write(parts, fresh, dtype)
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
        _load_conv_in(unet, folder / CONV_IN)
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


def _write(parts: Parts, folder: Path, dtype: torch.dtype | None) -> None:
    config = parts.config
    parts.fadex.save_pretrained(folder / "fadex", safe_serialization=True)
    parts.mapnet.save_pretrained(folder / "mapnet", safe_serialization=True)
    prompts.save(parts.prompts, folder / "prompt_embeds")
    if config.base is None:
        # It is measured after the VAE was trained; whoever reads the VAE alone needs it too.
        parts.vae.register_to_config(scaling_factor=config.scaling_factor)
        for name, model in (("vae", parts.vae), ("unet", parts.unet)):
            model.save_config(folder / name)
            _save_tensors(lora.plain_state(model), folder / name / DIFFUSERS_FILES[1])
    elif config.lora.train_conv_in:
        _save_tensors(parts.unet.conv_in.state_dict(), folder / CONV_IN)
    if config.trainable == "lora":
        lora.save(parts.unet, folder / "unet_lora")
        lora.save(parts.vae, folder / "vae_lora")
    for path in files_of(folder):
        if path.name == "config.json":
            _without_places(folder / path)
        elif dtype is not None and path.suffix == ".safetensors":
            _store_as(folder / path, dtype)
    missing = set(expected_files(config)) - {path.as_posix() for path in files_of(folder)}
    if missing:  # e.g. a part of more than 10 GB, which diffusers would split
        raise RuntimeError(f"these were not written: {sorted(missing)}")
    document: dict[str, Any] = config.model_dump(mode="json")
    document["files"] = {
        path.as_posix(): sha256_of(folder / path) for path in sorted(files_of(folder))
    }
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    (folder / DOCUMENT).write_text(text, encoding="utf-8")


def _save_tensors(state: dict[str, torch.Tensor], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    save_file(tensors, file, {"format": "pt"})


def _store_as(file: Path, dtype: torch.dtype) -> None:
    """Other tensors than weights, such as counts, stay; so does what the file says of itself."""
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or "running_" in name:
            continue
        tensors[name] = tensor.to(dtype)
        if not tensors[name].isfinite().all() and tensor.isfinite().all():
            raise UsageError(
                f"{name} of {file.parent.name} has weights of up to {tensor.abs().max():.3g}, "
                f"which is too much for {dtype}",
                next_step="Save it as bfloat16 or float32.",
            )
    save_file(tensors, file, metadata)


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


def _is_empty_folder(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
