"""The three sizes of the model: the same classes, built with other numbers.

``sd-turbo`` is the paper's. ``small`` and ``tiny`` begin from random weights, so that everything
can be trained and tested where no weights can be had; [chosen] sizes by what one CPU core does:
forward and backward of two 64 px scenes in half and in a quarter of a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from inscene.errors import UsageError
from inscene.face2scene.config import Face2SceneConfig, Faces, FamilyName, Lora, Prompts, Schedule
from inscene.suggest import did_you_mean

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    name: FamilyName
    config: Face2SceneConfig
    vae: Arguments
    """Of diffusers' ``AutoencoderKL``."""
    unet: Arguments
    """Of diffusers' ``UNet2DConditionModel``."""
    fadex: Arguments
    """Of :class:`~inscene.face2scene.fadex.FaDeX`."""
    mapnet: Arguments
    """Of :class:`~inscene.face2scene.mapnet.MapNet`, but for its scales: the configuration has
    them."""


def find_family(name: str) -> Family:
    """Raises ``UsageError`` for a name that is none."""
    if name not in FAMILIES:
        raise UsageError(
            f"there is no model family {name!r}",
            next_step=did_you_mean(name, get_args(FamilyName)),
        )
    return FAMILIES[name]


def _vae(
    channels: tuple[int, ...], layers: int, groups: int, side: int, factor: float
) -> Arguments:
    """Three halvings between four levels; ``groups`` of the group norms."""
    return {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "block_out_channels": channels,
        "layers_per_block": layers,
        "norm_num_groups": groups,
        "act_fn": "silu",
        "sample_size": side,
        "scaling_factor": factor,
    }


def _unet(
    channels: tuple[int, ...],
    *,
    layers: int,
    heads: tuple[int, ...],
    context_dim: int,
    groups: int,
    side: int,
) -> Arguments:
    """Cross-attention at every level but the lowest; heads of 64, 16 and 8 channels."""
    with_attention = len(channels) - 1
    return {
        "in_channels": 4,
        "out_channels": 4,
        "sample_size": side,
        "down_block_types": ("CrossAttnDownBlock2D",) * with_attention + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * with_attention,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "block_out_channels": channels,
        "layers_per_block": layers,
        "attention_head_dim": heads,  # by this name diffusers takes the number of heads, a level
        "cross_attention_dim": context_dim,
        "norm_num_groups": groups,
        "norm_eps": 1e-5,
        "act_fn": "silu",
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
        "center_input_sample": False,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "use_linear_projection": True,
    }


_QUARTER: Arguments = {"latent_channels": 16, "mid_block_add_attention": False}

_SMALL_FACES = Faces(min_side_px=32, max_side_px=64, train_max_side_px=64)


def _from_random(
    name: FamilyName, *, lora: Lora, multiple_px: int, faces: Faces = _SMALL_FACES
) -> Face2SceneConfig:
    """[chosen] Step 249, where an error of ε is not enlarged 14.6 times; everything trained; faces
    of 32 to 64 px, as large as the scenes that such models are trained on have them."""
    return Face2SceneConfig(
        family=name,
        base=None,
        trainable="full",
        schedule=Schedule(timestep=249),
        scaling_factor=1.0,  # until the VAE is trained: then 1/std of its latents
        lora=lora,
        prompts=Prompts(seed=0),
        faces=faces,
        pad_multiple_px=multiple_px,
        licences=dict.fromkeys(("vae", "unet", "fadex", "mapnet", "prompt_embeds"), "Apache-2.0"),
    )


_DERIVED = "Stability Community: made from SD-Turbo's weights"

FAMILIES: Mapping[str, Family] = {
    "sd-turbo": Family(
        "sd-turbo",
        Face2SceneConfig(
            licences={
                "fadex": "Apache-2.0",
                "mapnet": "Apache-2.0",
                **dict.fromkeys(
                    ("unet_lora", "vae_lora", "unet_conv_in", "prompt_embeds"), _DERIVED
                ),
            }
        ),
        vae=_vae((128, 256, 512, 512), 2, 32, side=768, factor=0.18215),
        unet=_unet(
            (320, 640, 1280, 1280),
            layers=2,
            heads=(5, 10, 20, 20),
            context_dim=1024,
            groups=32,
            side=64,
        ),
        fadex={"channels": (64, 64, 128, 128, 256, 256), "embedding_dim": 256},
        mapnet={"in_channels": 256, "channels": 512, "heads": 8, "token_dim": 1024},
    ),
    "small": Family(
        "small",
        _from_random(
            "small",
            lora=Lora(unet_rank=8, vae_rank=4),
            multiple_px=8,
            faces=Faces(min_side_px=32, max_side_px=128, train_max_side_px=128),
        ),
        # A quarter of the side: what an LQ at a quarter of its scene's size can say. No attention
        # in the VAE and cross-attention alone in the UNet, so that time grows with the area.
        vae={**_vae((16, 32, 64), 1, 4, side=64, factor=1.0), **_QUARTER},
        unet={
            **_unet((48, 64), layers=1, heads=(3, 4), context_dim=64, groups=8, side=16),
            "in_channels": 16,
            "out_channels": 16,
            "only_cross_attention": True,
        },
        fadex={"channels": (16, 16, 32, 32, 64, 64), "embedding_dim": 64},
        mapnet={"in_channels": 64, "channels": 64, "heads": 8, "token_dim": 64},
    ),
    "tiny": Family(
        "tiny",
        _from_random("tiny", lora=Lora(unet_rank=4, vae_rank=2), multiple_px=16),
        vae=_vae((16, 32, 32, 32), 1, 8, side=64, factor=1.0),
        unet=_unet((32, 64), layers=1, heads=(4, 8), context_dim=32, groups=8, side=8),
        fadex={"channels": (16, 16, 32, 32, 32, 32), "embedding_dim": 32},
        mapnet={"in_channels": 32, "channels": 64, "heads": 8, "token_dim": 32},
    ),
}
