"""Low-rank adapters of the UNet and of the VAE's encoder.

Their strength is alpha / rank. Files say alpha in their metadata; where that is stripped, loaders
take the rank for it, and the model is another one without a word: so a file is only taken where
its metadata or ``face2scene.json`` says alpha, and not where the two contradict each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import save_file

from inscene.errors import VerificationError
from inscene.face2scene.base import move
from inscene.face2scene.config import Lora
from inscene.face2scene.document import LORA_FILE

METADATA_KEY = "lora_adapter_metadata"
"""It and the file's name are diffusers': ``model.load_lora_adapter(folder, prefix=None,
weight_name=LORA_FILE)`` reads these files too."""
ADAPTER = "default"

UNET_TARGETS = [
    "to_k",
    "to_q",
    "to_v",
    "to_out.0",
    "conv",
    "conv1",
    "conv2",
    "conv_shortcut",
    "conv_out",
    "proj_in",
    "proj_out",
    "ff.net.2",
    "ff.net.0.proj",
]
"""[S3Diff, src/s3diff.py] Ends of module names: 257 modules of SD-Turbo's UNet."""
VAE_TARGETS = (
    r"^encoder\..*(conv1|conv2|conv_in|conv_shortcut|conv|conv_out|to_k|to_q|to_v|to_out\.0)$"
)
"""[S3Diff, src/s3diff.py] Whole names: 31 modules of its VAE's encoder."""

Adapted: TypeAlias = UNet2DConditionModel | AutoencoderKL


def add(model: Adapted, lora: Lora) -> None:
    """Put adapters into the model: A normally distributed, B zero, so that nothing changes yet.

    A is drawn from torch's global generator.
    """
    model.add_adapter(_config(model, lora), adapter_name=ADAPTER)
    # Adapters are made in float32.
    move(model, dtype=next(model.parameters()).dtype)


def targets(model: torch.nn.Module) -> list[str]:
    """Names of the modules that have an adapter."""
    return [name for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def parameters(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Of the adapters alone."""
    return [parameter for name, parameter in model.named_parameters() if _is_adapters(name)]


def plain_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state of the model below its adapters, under the names that it has without them."""
    return {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in model.state_dict().items()
        if not _is_adapters(name)
    }


def save(model: Adapted, folder: Path) -> None:
    """Write the adapters, with their rank and alpha as metadata."""
    config = model.peft_config[ADAPTER].to_dict()
    plain = {
        key: sorted(value) if isinstance(value, set) else value for key, value in config.items()
    }
    plain["base_model_name_or_path"] = None  # a path of this machine
    state = get_peft_model_state_dict(model, adapter_name=ADAPTER)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()},
        folder / LORA_FILE,
        {METADATA_KEY: json.dumps(plain, indent=2, sort_keys=True)},
    )


def load(model: Adapted, folder: Path, lora: Lora) -> None:
    """Put saved adapters into a model that has none.

    Raises ``VerificationError`` where the file does not say alpha and ``lora`` was not given one
    either (it has the default then), where its metadata contradicts ``lora``, or where its tensors
    do not fit the model.
    """
    file = folder / LORA_FILE
    stated = _metadata(file)
    if stated is None and "alpha" not in lora.model_fields_set:
        raise VerificationError(
            "the adapter's metadata is gone, and with it alpha",
            where=str(file),
            why="Without alpha its strength is unknown.",
            next_step="Set lora.alpha in face2scene.json to the value it was trained with.",
        )
    if stated is not None:
        _must_agree(model, stated, lora, file)
    with safe_open(file, "pt") as opened:
        state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    with torch.random.fork_rng(devices=[]):
        add(model, lora)
    mine = get_peft_model_state_dict(model, adapter_name=ADAPTER)
    if {name: tensor.shape for name, tensor in mine.items()} != {
        name: tensor.shape for name, tensor in state.items()
    }:
        differing = sorted(set(mine) ^ set(state)) or [
            name for name in mine if mine[name].shape != state[name].shape
        ]
        _take_away(model)
        raise VerificationError(
            f"the adapter does not fit the model: {differing[0]} and "
            f"{len(differing) - 1} more tensors differ",
            where=str(file),
            next_step="Load it with the base model and the ranks that it was trained with.",
        )
    set_peft_model_state_dict(model, state, adapter_name=ADAPTER)


@torch.no_grad()
def fuse(model: Adapted) -> None:
    """Add the adapters to the weights they adapt, and take them away: one convolution instead of
    three. What the model computes changes by rounding only; not to be undone. A model without
    adapters stays as it is."""
    if not (adapted := targets(model)):
        return
    for name in adapted:
        layer: Any = model.get_submodule(name)
        weight = layer.get_base_layer().weight
        weight.copy_(weight.float() + layer.get_delta_weight(ADAPTER).float())
    _take_away(model)


def _take_away(model: Adapted) -> None:
    """diffusers' ``delete_adapters`` would leave an empty wrapper around each module."""
    for name in targets(model):
        layer: Any = model.get_submodule(name)
        parent, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(parent), own_name, layer.get_base_layer())
    del model.peft_config
    model._hf_peft_config_loaded = False


def _config(model: Adapted, lora: Lora) -> LoraConfig:
    of_unet = isinstance(model, UNet2DConditionModel)
    return LoraConfig(
        r=lora.unet_rank if of_unet else lora.vae_rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # fractions are as good
        target_modules=UNET_TARGETS if of_unet else VAE_TARGETS,
        init_lora_weights="gaussian",
        lora_dropout=0.0,
    )


def _is_adapters(name: str) -> bool:
    return ".lora_" in name


def _metadata(file: Path) -> Mapping[str, Any] | None:
    with safe_open(file, "pt") as opened:
        text = (opened.metadata() or {}).get(METADATA_KEY)
    if text is None:
        return None
    stated = json.loads(text)
    return stated if isinstance(stated, dict) and "lora_alpha" in stated else None


_DECIDING = ("r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern")
"""What of a configuration changes what the same tensors do."""


def _must_agree(model: Adapted, stated: Mapping[str, Any], lora: Lora, file: Path) -> None:
    wanted: dict[str, Any] = _config(model, lora).to_dict()  # type: ignore[no-untyped-call]
    for key in _DECIDING:
        if (said := stated.get(key, wanted[key])) != wanted[key]:
            raise VerificationError(
                f"the adapter's metadata says {key}={said}, the configuration {wanted[key]}",
                where=str(file),
                next_step="One of the two files is of another checkpoint: fetch both again.",
            )
