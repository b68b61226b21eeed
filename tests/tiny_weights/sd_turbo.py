"""SD-Turbo in its official layout: the same files and settings, with tiny random weights.

:data:`OFFICIAL` has the official settings to the byte, as their hashes in the shipped manifest
show. What is made here differs from them in sizes and in the vocabulary alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONTEXT_DIM = 32
_VOCABULARY = 49408
_START, _END = "<|startoftext|>", "<|endoftext|>"


def _token(content: str, normalized: bool = True) -> dict[str, Any]:
    return {
        "content": content,
        "lstrip": False,
        "normalized": normalized,
        "rstrip": False,
        "single_word": False,
    }


def _special(content: str, normalized: bool = True) -> dict[str, Any]:
    return _token(content, normalized) | {"special": True}


OFFICIAL: dict[str, dict[str, Any]] = {
    "scheduler/scheduler_config.json": {
        "_class_name": "EulerDiscreteScheduler",
        "_diffusers_version": "0.24.0.dev0",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": False,
        "interpolation_type": "linear",
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "sample_max_value": 1.0,
        "set_alpha_to_one": False,
        "sigma_max": None,
        "sigma_min": None,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "timestep_spacing": "trailing",
        "timestep_type": "discrete",
        "trained_betas": None,
        "use_karras_sigmas": False,
    },
    "text_encoder/config.json": {
        "_name_or_path": "/home/patrick/sd-turbo/text_encoder",
        "architectures": ["CLIPTextModel"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "dropout": 0.0,
        "eos_token_id": 2,
        "hidden_act": "gelu",
        "hidden_size": 1024,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": 4096,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 23,
        "pad_token_id": 1,
        "projection_dim": 512,
        "torch_dtype": "float32",
        "transformers_version": "4.36.0.dev0",
        "vocab_size": _VOCABULARY,
    },
    "tokenizer/special_tokens_map.json": {
        "bos_token": _token(_START),
        "eos_token": _token(_END),
        "pad_token": _token("!", False),
        "unk_token": _token(_END),
    },
    "tokenizer/tokenizer_config.json": {
        "add_prefix_space": False,
        "added_tokens_decoder": {
            "0": _special("!", False),
            "49406": _special(_START),
            "49407": _special(_END),
        },
        "bos_token": _START,
        "clean_up_tokenization_spaces": True,
        "do_lower_case": True,
        "eos_token": _END,
        "errors": "replace",
        "model_max_length": 77,
        "pad_token": "!",
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": _END,
    },
    "unet/config.json": {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": "0.24.0.dev0",
        "_name_or_path": "/home/patrick/sd-turbo/unet",
        "act_fn": "silu",
        "addition_embed_type": None,
        "addition_embed_type_num_heads": 64,
        "addition_time_embed_dim": None,
        "attention_head_dim": [5, 10, 20, 20],
        "attention_type": "default",
        "block_out_channels": [320, 640, 1280, 1280],
        "center_input_sample": False,
        "class_embed_type": None,
        "class_embeddings_concat": False,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
        "cross_attention_dim": 1024,
        "cross_attention_norm": None,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "downsample_padding": 1,
        "dropout": 0.0,
        "dual_cross_attention": False,
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 2,
        "mid_block_only_cross_attention": None,
        "mid_block_scale_factor": 1,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "norm_eps": 1e-05,
        "norm_num_groups": 32,
        "num_attention_heads": None,
        "num_class_embeds": None,
        "only_cross_attention": False,
        "out_channels": 4,
        "projection_class_embeddings_input_dim": None,
        "resnet_out_scale_factor": 1.0,
        "resnet_skip_time_act": False,
        "resnet_time_scale_shift": "default",
        "reverse_transformer_layers_per_block": None,
        "sample_size": 64,
        "time_cond_proj_dim": None,
        "time_embedding_act_fn": None,
        "time_embedding_dim": None,
        "time_embedding_type": "positional",
        "timestep_post_act": None,
        "transformer_layers_per_block": 1,
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "upcast_attention": None,
        "use_linear_projection": True,
    },
    "vae/config.json": {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": "0.24.0.dev0",
        "_name_or_path": "/home/patrick/sd-turbo/vae",
        "act_fn": "silu",
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "force_upcast": True,
        "in_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "out_channels": 3,
        "sample_size": 768,
        "scaling_factor": 0.18215,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    },
}

_TINY: dict[str, dict[str, Any]] = {
    "text_encoder/config.json": {
        "hidden_size": CONTEXT_DIM,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
    },
    "unet/config.json": {
        "attention_head_dim": [1, 2, 2, 2],
        "block_out_channels": [8, 16, 16, 16],
        "cross_attention_dim": CONTEXT_DIM,
        "norm_num_groups": 8,
    },
    "vae/config.json": {"block_out_channels": [8, 8, 16, 16], "norm_num_groups": 8},
}
_MERGES = ["o i", "oi l</w>", "b l", "bl u", "blu r</w>"]


def build(folder: Path) -> None:
    """All files of ``sd-turbo`` in the shipped manifest; the same bytes each time."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel

    settings = {path: value | _TINY.get(path, {}) for path, value in OFFICIAL.items()}
    _write_tokenizer(folder / "tokenizer", settings)
    settings["model_index.json"] = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.24.0.dev0",
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    for path, value in settings.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(as_published(value), encoding="utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(999)
        unet = UNet2DConditionModel.from_config(_own(settings["unet/config.json"]))
        vae = AutoencoderKL.from_config(_own(settings["vae/config.json"]))
        text = CLIPTextModel(CLIPTextConfig(**settings["text_encoder/config.json"]))
    for part, model in (("unet", unet), ("vae", vae)):
        save_file(model.state_dict(), folder / part / "diffusion_pytorch_model.safetensors")
    # Names of the official file, which begin with the class that transformers 4 had around it.
    state = {f"text_model.{name}": tensor for name, tensor in _bare(text.state_dict()).items()}
    save_file(state, folder / "text_encoder" / "model.safetensors", {"format": "pt"})


def shake(*models: Any, seed: int = 0) -> None:
    """As after training: adapters and the UNet's ends are no longer zero."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for model in models:
        for name, parameter in model.named_parameters():
            if ".lora_B." in name or name.startswith(("conv_in.", "conv_out.")):
                noise = torch.randn(parameter.shape, generator=generator) * 0.1
                parameter.data += noise.to(parameter)


def as_published(value: dict[str, Any]) -> str:
    """JSON as the two libraries write it."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _own(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "_name_or_path"}


def _bare(state: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("text_model."): tensor for name, tensor in state.items()}


def _write_tokenizer(folder: Path, settings: dict[str, dict[str, Any]]) -> None:
    """A byte-level vocabulary in CLIP's order: characters, characters at ends of words, merges, and
    the two special tokens."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    characters = sorted(bytes_to_unicode().values(), key=lambda character: character != "!")
    merged = [merge.replace(" ", "") for merge in _MERGES]
    words = [*characters, *(f"{one}</w>" for one in characters), *merged, _START, _END]
    vocabulary = {word: index for index, word in enumerate(words)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    merges = "\n".join(["#version: 0.2", *_MERGES, ""])
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    settings["text_encoder/config.json"]["vocab_size"] = len(words)
    settings["tokenizer/tokenizer_config.json"]["added_tokens_decoder"] = {
        "0": _special("!", False),
        str(vocabulary[_START]): _special(_START),
        str(vocabulary[_END]): _special(_END),
    }
