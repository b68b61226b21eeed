"""What discriminator and generator want of the logits: binary cross-entropy with soft targets.

Logits are a list of levels, each B×h×w or B×1. A level counts with its mean over places, and the
levels are added [VA cv_losses.py, ``multilevel_sigmoid_s``]. All losses are B, float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from inscene.face2scene.config import Section

Probability = Annotated[float, Field(ge=0, le=1)]


class Targets(Section):
    """The probabilities of being real that are aimed at."""

    real: Probability = 0.8
    """[VA cv_losses.py] Below 1: the discriminator is not to become sure of itself."""
    fake: Probability = 0.0
    """[VA cv_losses.py]"""
    generator: Probability = 0.8
    """[VA cv_losses.py] What the generator wants its images to be taken for: the same as real
    ones, so that it gains nothing by looking more real than these."""


def towards(logits: Sequence[Tensor], target: float) -> Tensor:
    """B: cross-entropy of each image's logits with one target, summed over the levels."""
    losses = []
    for level in logits:
        flat = level.float().flatten(1)
        wanted = torch.full_like(flat, target)
        losses.append(
            functional.binary_cross_entropy_with_logits(flat, wanted, reduction="none").mean(1)
        )
    return torch.stack(losses).sum(0)
