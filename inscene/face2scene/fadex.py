"""FaDeX: from a face before and after restoration, a code of how the scene was degraded.

Layers are those of DASR's encoder [DASR, model/blindsr.py], whose description the paper's matches;
the paper's own layer table is lost. The two images enter side by side as six channels [paper].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

STRIDES = (1, 1, 2, 1, 2, 1)
"""[DASR] Of the six convolutions; together 4."""


class DegradationCode(NamedTuple):
    """What FaDeX says about B face pairs of S × S' px."""

    features: Tensor
    """B × C × ⌈S/4⌉ × ⌈S'/4⌉: what MapNet reads."""
    embedding: Tensor
    """B × embedding_dim, unit length: what is compared in training."""


class FaDeX(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Encoder and projection head.

    ``channels``: of the six convolutions, 3 × 3 with batch norm and leaky ReLU; 1,148,928
    parameters [DASR]. ``in_channels``: twice those of an image. ``embedding_dim``: width of both
    linear layers of the head; 131,584 parameters [head: paper, width: DASR]. ``negative_slope``:
    of every leaky ReLU [DASR].
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        channels: Sequence[int] = (64, 64, 128, 128, 256, 256),
        in_channels: int = 6,
        embedding_dim: int = 256,
        negative_slope: float = 0.1,
    ) -> None:
        super().__init__()
        if len(channels) != len(STRIDES):
            raise ValueError(f"channels: {len(STRIDES)} numbers are needed, got {len(channels)}")
        if in_channels < 2 or in_channels % 2:
            raise ValueError(f"in_channels: two images share them evenly, got {in_channels}")
        layers: list[nn.Module] = []
        before = in_channels
        for width, stride in zip(channels, STRIDES, strict=True):
            # The bias does nothing before a batch norm; DASR has it, and so have its weights.
            layers += [
                nn.Conv2d(before, width, kernel_size=3, stride=stride, padding=1),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(negative_slope),
            ]
            before = width
        self.encoder = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(before, embedding_dim),
            nn.LeakyReLU(negative_slope),
            nn.Linear(embedding_dim, embedding_dim),
        )

    def forward(self, hq: Tensor, lq: Tensor) -> DegradationCode:
        """``hq``, ``lq``: B × 3 × S × S' in [-1, 1], the same place of the scene in both."""
        if hq.shape != lq.shape or hq.ndim != 4:
            raise ValueError(
                f"hq and lq must be B×3×S×S' of one size, got {tuple(hq.shape)} and "
                f"{tuple(lq.shape)}"
            )
        features: Tensor = self.encoder(torch.cat([hq, lq], dim=1))
        projected: Tensor = self.head(self.pooled(features))
        # In float32: squares of bfloat16 lose the length that they are divided by.
        embedding = F.normalize(projected.float(), dim=1).to(projected.dtype)
        return DegradationCode(features, embedding)

    def pooled(self, features: Tensor) -> Tensor:
        """B × C: the features' mean over both image axes, not normalised."""
        return features.mean(dim=(2, 3))
