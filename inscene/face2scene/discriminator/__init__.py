"""The discriminator of Stage II: trained heads on a frozen image encoder.

[paper] frozen DINO with several heads, after vision-aided GAN (Kumari et al. 2022) and S3Diff. In
docstrings, [VA file] is a file of the former's ``vision_aided_loss``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inscene.face2scene.discriminator.augment import Augment
from inscene.face2scene.discriminator.backbone import Backbone, Dino, RandomBackbone
from inscene.face2scene.discriminator.heads import HIDDEN, GridHead, VectorHead
from inscene.face2scene.discriminator.losses import Targets, towards

__all__ = ["Augment", "Backbone", "Dino", "Discriminator", "RandomBackbone", "Targets", "towards"]


class Discriminator(nn.Module):
    """Images B×3×H×W in [-1, 1] -> logits of three levels, B×h×w, B×h×w and B×1: above 0 where they
    look real.

    Only ``heads`` is trained, and to be saved; their spectral norms keep buffers that belong with
    the parameters.
    """

    def __init__(
        self, backbone: Backbone, *, hidden: int = HIDDEN, augment: Augment | None = None
    ) -> None:
        """``hidden`` channels of each head: 128 [VA cv_discriminator.py, for DINO]."""
        super().__init__()
        self.backbone = backbone.freeze()
        self.augment = Augment() if augment is None else augment
        early, late, whole = backbone.channels
        self.heads = nn.ModuleList(
            [GridHead(early, hidden), GridHead(late, hidden), VectorHead(whole, hidden)]
        )

    def forward(self, images: Tensor, rng: torch.Generator) -> list[Tensor]:
        """``rng`` decides how the images are changed before they are looked at."""
        levels = self.backbone(self.augment(images, rng))
        dtype = next(self.heads.parameters()).dtype
        return [head(level.to(dtype)) for head, level in zip(self.heads, levels, strict=True)]
