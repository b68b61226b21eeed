"""The plain way to restore a scene, with the modules of a Face2Scene pipeline.

One thing after the other, as S3Diff's inference_s3diff.py and s3diff_tile.py do: the latents tile
by tile (96, overlap 32), for each tile a pass with the negative prompt and then one with the
positive, the adapters beside the weights, the VAE in tiles that go through the whole of it where a
scene is larger than they are. Unlike there, windows are weighted symmetrically, since the outputs
are to be compared, and the VAE's tiles have group norms of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from inscene.face2scene.config import Tiling
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.pipeline import Face2ScenePipeline


class PlainStageTwo:
    def __init__(self, pipeline: Face2ScenePipeline, tiling: Tiling) -> None:
        self.pipeline, self.tiling = pipeline, tiling
        self.restorer, self.config = pipeline.restorer, pipeline.config
        self.vae = pipeline.restorer.vae
        self.pixels = 2 ** (len(self.vae.config.block_out_channels) - 1)
        """Of a latent's side."""

    @torch.no_grad()
    def __call__(self, scene: Tensor, pair: FacePair) -> Tensor:
        """3×H×W in [-1, 1], sides multiples of ``pad_multiple_px``."""
        lq = scene[None]
        tokens = self.tokens(pair)
        prompts = self.pipeline.prompts
        negative, positive = (
            torch.cat([prompt, tokens], dim=1) for prompt in (prompts.negative, prompts.positive)
        )
        latents = self.encode(lq)
        tile, overlap = self.tiling.latent_tile, self.tiling.latent_overlap
        height, width = latents.shape[2:]
        if height * width <= tile**2:
            noise = self.guided(latents, negative, positive)
        else:
            rows, columns = min(tile, height), min(tile, width)
            weight = _gauss(rows, columns, self.tiling.gaussian_variance).to(latents)
            noise, norm = torch.zeros_like(latents), torch.zeros_like(latents)
            starts = product(_starts(height, rows, overlap), _starts(width, columns, overlap))
            for top, left in starts:
                window = (..., slice(top, top + rows), slice(left, left + columns))
                noise[window] += self.guided(latents[window], negative, positive) * weight
                norm[window] += weight
            noise /= norm
        alpha_bar = self.config.alpha_bar
        clean = (latents - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5
        return self.colour(self.decode(clean).clamp(-1, 1), lq).clamp(-1, 1)[0]

    def tokens(self, pair: FacePair) -> Tensor:
        tokens: Tensor = self.pipeline.mapnet(
            self.pipeline.fadex(pair.hq[None], pair.lq[None]).features
        )
        return tokens

    def encode(self, images: Tensor) -> Tensor:
        def whole(part: Tensor) -> Tensor:
            mode: Tensor = self.vae.encode(part).latent_dist.mode()
            return mode

        tiling, scale = self.tiling, 1 / self.pixels
        latents = _in_tiles(whole, images, tiling.encoder_tile_px, tiling.encoder_pad_px, scale)
        return latents * self.restorer.scaling_factor

    def guided(self, latents: Tensor, negative: Tensor, positive: Tensor) -> Tensor:
        without = self.predict(latents, negative)
        towards = self.predict(latents, positive)
        return without + self.config.guidance.scale * (towards - without)

    def predict(self, latents: Tensor, context: Tensor) -> Tensor:
        noise: Tensor = self.restorer.unet(
            latents, self.restorer.timestep, encoder_hidden_states=context
        ).sample
        return noise

    def decode(self, latents: Tensor) -> Tensor:
        def whole(part: Tensor) -> Tensor:
            images: Tensor = self.vae.decode(part).sample
            return images

        unscaled = latents / self.restorer.scaling_factor
        tiling = self.tiling
        return _in_tiles(whole, unscaled, tiling.decoder_tile, tiling.decoder_pad, self.pixels)

    def colour(self, images: Tensor, reference: Tensor) -> Tensor:
        """High frequencies of the one, low ones of the other."""
        return images - _low(images) + _low(reference)


def _low(images: Tensor) -> Tensor:
    line = torch.tensor([0.25, 0.5, 0.25], dtype=images.dtype, device=images.device)
    kernel = torch.outer(line, line).expand(3, 1, 3, 3)
    for level in range(5):
        radius = 2**level
        padded = functional.pad(images, (radius,) * 4, "replicate")
        images = functional.conv2d(padded, kernel, groups=3, dilation=radius)
    return images


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    starts = [0]
    while starts[-1] + tile < length:
        starts.append(min(starts[-1] + tile - overlap, length - tile))
    return starts


def _gauss(height: int, width: int, variance: float) -> Tensor:
    rows, columns = (
        torch.exp(-(((torch.arange(side) - (side - 1) / 2) / side) ** 2) / (2 * variance))
        for side in (height, width)
    )
    return torch.outer(rows, columns)


def _in_tiles(
    call: Callable[[Tensor], Tensor], source: Tensor, tile: int, pad: int, scale: float
) -> Tensor:
    """Tiles of ``source`` with ``pad`` around each, which is cut off the results."""
    height, width = source.shape[2:]
    if max(height, width) <= tile + 2 * pad:
        return call(source)
    lines = []
    for top in range(0, height, tile):
        line = []
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            first, beside = max(0, top - pad), max(0, left - pad)
            part = call(source[..., first : bottom + pad, beside : right + pad])
            # Slices of the result, all whole numbers: sides, tiles and pads are fit for it.
            rows, columns = (
                slice(int(start * scale), int(stop * scale))
                for start, stop in ((top - first, bottom - first), (left - beside, right - beside))
            )
            line.append(part[..., rows, columns])
        lines.append(torch.cat(line, dim=3))
    return torch.cat(lines, dim=2)
