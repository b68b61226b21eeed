"""What an untrained FaDeX sees at first."""

from __future__ import annotations

import torch
from torch import nn

from inscene.face2scene.fadex import FaDeX


@torch.no_grad()
def look_at_detail(fadex: FaDeX) -> None:
    """In place: filters of the first convolution have a mean of zero in each channel, so that an
    even area gives nothing; a third of them see the LQ alone, a third the HQ alone, the others the
    difference. Nothing holds them there in training."""
    first = fadex.encoder[0]
    assert isinstance(first, nn.Conv2d)
    filters = first.weight  # C × (HQ, LQ) × 3 × 3
    filters -= filters.mean(dim=(2, 3), keepdim=True)
    third, image = len(filters) // 3, filters.shape[1] // 2
    filters[:third, :image] = 0
    filters[third : 2 * third, image:] = 0
    filters[2 * third :, image:] = -filters[2 * third :, :image]
