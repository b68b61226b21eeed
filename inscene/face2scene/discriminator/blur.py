"""Low-pass filtering before a grid is thinned out, so that what a head says does not depend on
where the grid happens to lie (Zhang 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

TAPS = 4


class Blur(nn.Module):
    """B×C×H×W with the binomial filter (1, 3, 3, 1)/8 along both axes, stride 1.

    With ``pad`` zeros on each side, the sides become H + 2·pad − 3.
    """

    taps: Tensor

    def __init__(self, pad: int) -> None:
        super().__init__()
        self.pad = pad
        self.register_buffer("taps", torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        channels = features.shape[1]
        taps = self.taps.to(features.dtype)
        down = taps.view(1, 1, TAPS, 1).expand(channels, 1, TAPS, 1)
        across = taps.view(1, 1, 1, TAPS).expand(channels, 1, 1, TAPS)
        # Two passes of four taps are cheaper than one of sixteen.
        features = functional.conv2d(features, down, padding=(self.pad, 0), groups=channels)
        return functional.conv2d(features, across, padding=(0, self.pad), groups=channels)
