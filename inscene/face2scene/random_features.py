"""A frozen pyramid of random convolutions: what small models are trained with in place of DINO and
VGG, whose weights have to be downloaded.

Random features tell pictures apart, but know nothing of what people see in them: good for trying
out the training, and for nothing that is reported.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from inscene.face2scene.frozen import Frozen

CHANNELS = (16, 32, 64)
"""[chosen] face2scene.md, section 8."""
NEGATIVE_SLOPE = 0.2
"""[chosen] That of the discriminator's heads; with plain ReLU half of a random network is dead."""


class RandomFeatures(Frozen):
    """Convolutions 3×3 of stride 2, the weights decided by ``seed`` alone.

    (B×3×H×W) -> for each level B×``channels[i]``×⌈H/2^(i+1)⌉×⌈W/2^(i+1)⌉.
    """

    def __init__(self, seed: int = 0, channels: tuple[int, ...] = CHANNELS) -> None:
        super().__init__()
        self.channels = channels
        generator = torch.Generator().manual_seed(seed)
        gain = math.sqrt(2 / (1 + NEGATIVE_SLOPE**2))  # He et al.: keeps what passes in scale
        self.kernels = nn.ParameterList(
            torch.randn((after, before, 3, 3), generator=generator) * gain / math.sqrt(9 * before)
            for before, after in pairwise((3, *channels))
        )
        self.freeze()

    def forward(self, images: Tensor) -> list[Tensor]:
        levels = []
        for kernels in self.kernels:
            images = functional.conv2d(images, kernels, stride=2, padding=1)
            images = functional.leaky_relu(images, NEGATIVE_SLOPE)
            levels.append(images)
        return levels
