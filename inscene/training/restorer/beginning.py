"""What an untrained MapNet hears at first."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch

from inscene.errors import RecipeError
from inscene.face2scene.face_pair import FacePair, fitted
from inscene.face2scene.pipeline import Face2ScenePipeline

PAIRS = 64
"""[chosen] That are measured: means and deviations of a channel are then known to a tenth."""
SMALLEST_DEVIATION = 0.01
"""[chosen] Of the channels' mean one: a channel that hardly ever changes is not to be amplified
without bound."""


@torch.no_grad()
def standardise(pipeline: Face2ScenePipeline, pairs: Iterable[FacePair]) -> None:
    """In place: MapNet's first convolution becomes the same one of features that have, channel by
    channel, a mean of zero and a variance of one over face pairs, where a pair counts by its mean
    over all places. Nothing holds it there in training.

    Raises ``RecipeError`` for fewer than two pairs, or pairs that are all the same.
    """
    fadex, faces = pipeline.fadex.eval(), pipeline.config.faces
    means = []
    for pair in islice(pairs, PAIRS):
        face = fitted(pair, faces.min_side_px, faces.train_max_side_px)
        hq, lq = (image[None].to(fadex.device, fadex.dtype) for image in (face.hq, face.lq))
        means.append(fadex.pooled(fadex(hq, lq).features)[0])
    patches = pipeline.mapnet.patches
    seen = torch.stack(means).to(patches.weight) if means else torch.zeros(0)
    if len(seen) < 2 or not seen.std(0).any():
        raise RecipeError(
            f"{len(seen)} face pairs do not tell how FaDeX's features vary",
            where="model.first_patches",
            next_step="Set it to random, or use data with more faces.",
        )
    mean, deviation = seen.mean(0), seen.std(0)
    deviation = deviation.clamp_min(SMALLEST_DEVIATION * deviation.mean())
    patches.weight /= deviation[None, :, None, None]
    assert patches.bias is not None
    patches.bias -= (patches.weight * mean[None, :, None, None]).sum((1, 2, 3))
