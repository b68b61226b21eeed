"""The VAE over images whose activations would not fit: tile by tile, as the whole would be.

A VAE is made of convolutions, which see one pixel around each, and of group norms and one
attention, which see everything. Tiles that run through all of it, as S3Diff's
(src/my_utils/vaehook.py) and diffusers' do, therefore differ in tone, or need wide padding that is
still not exact. Here all tiles go through *one layer*, and the whole feature map is put together
again before the next:

- a convolution gets its tile with the one line of neighbours it needs: exact, without padding;
- a group norm gets the statistics of the whole map, E[var] + Var[mean] over tiles and channels,
  which are taken while the tiles are made (vaehook leaves out Var[mean]: its tones shift);
- the attention of the middle block, at an eighth of the side, is called on the whole map.

So the result is that of the plain VAE up to the rounding of another order of sums. What it saves:
only one tile's activations are on the device, and the attention's; whole maps are kept in the
host's memory, two at a time, and three where a resnet has more channels after it than before.
Where the device is the host, those remain of what a plain call needs: measured on a CPU with tiles
of 256 px, half to four fifths of its peak, in 0.9 to 1.4 of its time on one thread.

Modules are called as they are, so that peft's wrapped convolutions keep their adapters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from inscene.face2scene.layer_tiles import Map, Run

_PLAIN_MAPS = 4
"""Of the widest level: see ``plain_bytes``."""


@torch.no_grad()
def encode(
    vae: AutoencoderKL,
    images: Tensor,
    tile_px: int,
    pad_px: int = 0,
    *,
    store: torch.device | str = "cpu",
) -> Tensor:
    """Mode of the latents' distribution, B×C×h×w, not scaled; without gradients.

    Images of no more than (tile + 2 · pad)² px are one plain call, as in vaehook [chosen: by area,
    which is what memory depends on]. Larger ones are cut into tiles of at most ``tile_px``, which
    need no padding. Sides are multiples of what the VAE halves them by. Whole feature maps are kept
    on ``store``.
    """
    grid = _grid(images, tile_px, pad_px)
    if grid is None:
        plain: Tensor = vae.encode(images).latent_dist.mode()
        return plain
    run = Run(grid, images.device, torch.device(store))
    encoder = vae.encoder
    maps = run.same(encoder.conv_in, Map(images))
    for block in encoder.down_blocks:
        maps = run.resnets(block, maps)
        for downsampler in block.downsamplers or ():
            maps = run.halved(downsampler, maps)
    maps = run.head(encoder, run.middle(encoder.mid_block, maps))
    if vae.quant_conv is not None:
        maps = run.pointwise(vae.quant_conv, maps)
    # Mean and logarithm of the variance; the mode is the mean.
    return maps.data.chunk(2, dim=1)[0].to(images.device)


@torch.no_grad()
def decode(
    vae: AutoencoderKL,
    latents: Tensor,
    tile: int,
    pad: int = 0,
    *,
    store: torch.device | str = "cpu",
) -> Tensor:
    """Images B×3×8h×8w of latents B×4×h×w that are not scaled; not clamped; without gradients.

    As ``encode``, with the tile and its padding in latents.
    """
    grid = _grid(latents, tile, pad)
    if grid is None:
        plain: Tensor = vae.decode(latents, return_dict=False)[0]
        return plain
    run = Run(grid, latents.device, torch.device(store))
    decoder = vae.decoder
    maps = Map(latents)
    if vae.post_quant_conv is not None:
        maps = run.pointwise(vae.post_quant_conv, maps)
    maps = run.middle(decoder.mid_block, run.same(decoder.conv_in, maps))
    for block in decoder.up_blocks:
        maps = run.resnets(block, maps)
        for upsampler in block.upsamplers or ():
            maps = run.doubled(upsampler, maps)
    return run.head(decoder, maps).data.to(latents.device)


def needs_tiling(vae: AutoencoderKL, shape: Sequence[int], device: torch.device) -> bool:
    """Whether plain calls for images of ``shape`` (B×3×H×W) could run out of memory: where the
    estimate is more than four fifths of what is free [chosen: the estimate is not exact]."""
    return plain_bytes(vae, shape) > 0.8 * free_bytes(device)


def plain_bytes(vae: AutoencoderKL, shape: Sequence[int]) -> int:
    """Estimated peak of a plain ``encode`` or ``decode``, without weights.

    The peak is in the decoder's last level, which begins with the second level's channels at the
    full size: the input of a resnet, its normed copy, the activated one and a convolution's result.
    Measured on a CPU: 3.8 to 4.0 such maps in the decoder, 2.1 to 2.5 in the encoder.
    """
    batch, _, height, width = shape
    channels = vae.config.block_out_channels
    widest = channels[min(1, len(channels) - 1)]
    return int(_PLAIN_MAPS * batch * height * width * widest * vae.dtype.itemsize)


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had: of a CUDA device with what torch's cache holds unused; of the
    host, or of its container where that is less, for any other."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    free: int = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return free
    return min(free, limit - used)


def _grid(images: Tensor, tile: int, pad: int) -> tuple[int, int] | None:
    """Rows and columns of tiles, or None where one will do."""
    height, width = images.shape[-2:]
    if height * width <= (tile + 2 * pad) ** 2:
        return None
    return math.ceil(height / tile), math.ceil(width / tile)
