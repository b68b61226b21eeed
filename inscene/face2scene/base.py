"""The VAE and the UNet that everything is built upon."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from inscene.errors import UsageError, VerificationError
from inscene.face2scene.config import Face2SceneConfig
from inscene.face2scene.families import Family


@dataclass(frozen=True)
class Base:
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    folder: Path | None = None
    """Where its text encoder is; None of a base that was built."""


def load_base(
    config: Face2SceneConfig, folder: Path | None = None, dtype: torch.dtype = torch.float32
) -> Base:
    """Of the verified weights that ``config.base`` names, or from another ``folder`` in the same
    layout. Nothing is downloaded.

    Raises ``MissingWeightError`` where the weights are not on this machine, ``VerificationError``
    where they are of another diffusion than the configuration.
    """
    if config.base is None:
        raise ValueError("this configuration has no base: its checkpoint carries the VAE and UNet")
    if folder is None:
        from inscene.weights.locate import find_folder

        folder = find_folder(config.base.weight)
    _must_agree(config, folder)
    return Base(load_vae(folder / "vae", dtype), load_unet(folder / "unet", dtype), folder)


def load_vae(folder: Path, dtype: torch.dtype) -> AutoencoderKL:
    vae: AutoencoderKL = AutoencoderKL.from_pretrained(folder, **_local(dtype))
    return vae


def load_unet(folder: Path, dtype: torch.dtype) -> UNet2DConditionModel:
    unet: UNet2DConditionModel = UNet2DConditionModel.from_pretrained(folder, **_local(dtype))
    return unet


def build_base(family: Family, seed: int = 0, dtype: torch.dtype = torch.float32) -> Base:
    """With random weights, the same for the same seed; torch's global generator is left as it was.

    The UNet's last convolution is zero, so that it sees no noise at first and the clean latents are
    the given ones up to a factor: it begins as an autoencoder [chosen].
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae, unet = AutoencoderKL(**family.vae), UNet2DConditionModel(**family.unet)
    torch.nn.init.zeros_(unet.conv_out.weight)
    torch.nn.init.zeros_(unet.conv_out.bias)
    for model in (vae, unet):
        move(model, dtype=dtype)
        model.eval()
    return Base(vae, unet)


def move(
    module: torch.nn.Module,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """In place, as ``module.to``. diffusers' own warns at each change of type, of layers that are
    to stay in float32, where there are none."""
    torch.nn.Module.to(module, device=device, dtype=dtype)


def must_be_trainable(config: Face2SceneConfig) -> None:
    """Raises ``UsageError`` for more than adapters of a base that others publish: a checkpoint has
    what was added to that base, and nothing of the base itself."""
    if config.base is not None and config.trainable != "lora":
        raise UsageError(
            f"trainable: {config.trainable} would change {config.base.repo} itself, which no "
            "checkpoint carries",
            next_step="Use trainable: lora, or base: null to carry the whole model.",
        )


def _local(dtype: torch.dtype) -> dict[str, Any]:
    return {"local_files_only": True, "use_safetensors": True, "torch_dtype": dtype}


def _must_agree(config: Face2SceneConfig, folder: Path) -> None:
    """The base was trained with one noise schedule and one scale of latents; with others it gives
    a picture too, and a wrong one."""
    schedule = config.schedule
    wanted: dict[str, dict[str, Any]] = {
        "scheduler/scheduler_config.json": {
            "beta_schedule": "scaled_linear",
            "beta_start": schedule.beta_start,
            "beta_end": schedule.beta_end,
            "num_train_timesteps": schedule.train_timesteps,
            "prediction_type": "epsilon",
        },
        "vae/config.json": {"scaling_factor": config.scaling_factor},
    }
    for path, values in wanted.items():
        stated = json.loads((folder / path).read_text(encoding="utf-8"))
        for key, value in values.items():
            # Older files leave out what was the only choice then.
            if stated.get(key, _DEFAULTS.get(key)) != value:
                raise VerificationError(
                    f"the base says {key}={stated.get(key)!r}, the model was made for {value!r}",
                    where=str(folder / path),
                    next_step="Use the base model that face2scene.json names.",
                )


_DEFAULTS = {"prediction_type": "epsilon", "scaling_factor": 0.18215}
