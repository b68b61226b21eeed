"""FLUX.1 [dev], InfuseNet and the text encoders in their full size, with random weights.

The tokenizers and the schedule are those of the tiny models in whose pipelines these are put. On
the CPU first, as they come from files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from inscene.quiet import quiet_diffusion
from inscene.synthetic.generate.load import dtype_of, load_sampler, load_text_encoders
from inscene.synthetic.generate.quantise import quantise
from inscene.synthetic.generate.settings import FluxSettings

FLUX: dict[str, Any] = {"guidance_embeds": True}
"""diffusers' defaults are FLUX.1's: 19 and 38 blocks of 24 × 128."""
INFUSENET: dict[str, Any] = {"guidance_embeds": True, "num_layers": 4, "num_single_layers": 10}
T5: dict[str, Any] = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}
CLIP: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 16,
    "layers_per_block": 2,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
}
STD = 0.02
BLOCK = 1 << 24
"""Random numbers that the weights repeat."""


def random_text_encoders(settings: FluxSettings) -> Any:
    pipeline = load_text_encoders(settings)
    dtype = dtype_of(settings)
    with quiet_diffusion():
        from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

        clip = CLIPTextModel(CLIPTextConfig(**CLIP)).to(dtype)
        with torch.device("meta"):
            t5 = T5EncoderModel(T5Config(**T5)).to(dtype)
    pipeline.register_modules(text_encoder=clip.eval(), text_encoder_2=_filled(t5))
    return pipeline


def random_sampler(settings: FluxSettings, *, quantised: bool = False) -> Any:
    """Without the LoRA, whose rank nobody here has seen."""
    pipeline = load_sampler(replace(settings, lora_scale=0.0))
    dtype = dtype_of(settings)
    with quiet_diffusion():
        from diffusers import AutoencoderKL, FluxTransformer2DModel

        from inscene.synthetic.generate.infusenet import InfuseNet

        with torch.device("meta"):
            transformer = FluxTransformer2DModel(**FLUX).to(dtype)
            infusenet = InfuseNet(**INFUSENET).to(dtype)
        models = {"transformer": _filled(transformer), "controlnet": _filled(infusenet)}
        models["vae"] = AutoencoderKL(**VAE).to(dtype).eval().requires_grad_(False)
    if quantised:
        for name in ("transformer", "controlnet"):
            quantise(models[name], settings.quantisation)
    pipeline.register_modules(**models)
    return pipeline


@torch.no_grad()
def _filled(model: Any) -> Any:
    """In the host's memory. Copies of one block: drawing 12 billion numbers takes minutes."""
    model = model.to_empty(device="cpu").eval().requires_grad_(False)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    block = torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)) * STD
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            nn.init.constant_(parameter, 1.0 if name.endswith("weight") else 0.0)
            continue
        flat = parameter.view(-1)
        for start in range(0, len(flat), BLOCK):
            part = flat[start : start + BLOCK]
            part.copy_(block[: len(part)])
    return model
