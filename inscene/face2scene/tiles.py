"""The UNet over latents larger than it was trained for: overlapping windows, blended.

As S3Diff's src/s3diff_tile.py, apart from three things [chosen]: the weights are symmetric on both
axes, where its centre lies half a latent aside on one; the overlap is at most half a window, where
its loop never ends on latents no longer than the overlap; and windows of thin latents are shorter
on the thin axis only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Predict = Callable[[Tensor], Tensor]
"""B×4×h×w latents to a noise prediction of the same shape. It is called once for each window with
the whole batch, so that what belongs to a sample (text, degradation tokens) is the same in all."""

_SMALLEST_WEIGHT = 1e-6
"""Of one axis: at small variances the Gaussian itself is 0 at a window's border, and a corner of
the latents that one window alone covers would be 0 / 0. The default variance gives no less."""


def positions(length: int, tile: int, overlap: int) -> list[int]:
    """Where windows begin that cover an axis of ``length``; the last ends where the axis does.

    They are not spread evenly: with sides and tiles that are multiples of 8 these positions are
    too, and windows whose grids agree in all of the UNet's halvings predict alike where they
    overlap.
    """
    if length <= tile:
        return [0]
    step = tile - min(overlap, tile // 2)
    last = length - tile
    return [*range(0, last, step), last]


def weights(tile_height: int, tile_width: int, variance: float) -> Tensor:
    """height×width in float32: a Gaussian around the middle, above 0 everywhere, at most 1.

    ``variance`` is relative to the side squared. In float16 the corners would be 0, hence float32
    whatever the latents are.
    """
    return torch.outer(_axis(tile_height, variance), _axis(tile_width, variance))


def denoise_tiled(
    predict: Predict, latents: Tensor, tile: int, overlap: int, variance: float
) -> Tensor:
    """The noise prediction for B×4×H×W latents of any size, in the data type of ``predict``.

    Latents of no more than tile² are one call [S3Diff: h·w, not the longer side]. Otherwise each
    window's prediction counts by ``weights``, and the weights that fall on a latent sum to 1: where
    the windows that cover a latent agree about it, the result is what they say. So a pointwise
    ``predict`` gives exactly what it gives for the whole. A UNet's predictions differ by window, by
    its zero padding near the border, which is what the weights suppress, and by its attention and
    norms everywhere, which is what the blend makes gradual.
    """
    height, width = latents.shape[-2:]
    if height * width <= tile * tile:
        return predict(latents)
    rows, columns = min(tile, height), min(tile, width)
    weight = weights(rows, columns, variance).to(latents.device)
    total = torch.zeros(latents.shape, dtype=torch.float32, device=latents.device)
    norm = torch.zeros(latents.shape[-2:], dtype=torch.float32, device=latents.device)
    dtype = latents.dtype
    for top in positions(height, tile, overlap):
        for left in positions(width, tile, overlap):
            window = (..., slice(top, top + rows), slice(left, left + columns))
            prediction = predict(latents[window])
            dtype = prediction.dtype
            total[window] += prediction.float() * weight
            norm[window] += weight
    return (total / norm).to(dtype)


def _axis(side: int, variance: float) -> Tensor:
    offsets = (torch.arange(side, dtype=torch.float32) - (side - 1) / 2) / side
    return torch.exp(-(offsets**2) / (2 * variance)).clamp_min(_SMALLEST_WEIGHT)
