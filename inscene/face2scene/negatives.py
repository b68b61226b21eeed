"""Online negatives: the model is shown, by name, what not to do [paper].

For some samples the LQ image is the target and the negative prompt is the prompt. Guidance then has
a direction that leads away from degraded images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from inscene.face2scene import ranks

Rng = torch.Generator | Sequence[torch.Generator]
"""One for all micro-batches, in their order, or one for each."""
PROBABILITY = 0.05
"""[S3Diff, training_utils.py] [chosen] for Face2Scene, whose own number is lost."""


def chosen(
    batch: int, generator: torch.Generator, probability: float = PROBABILITY
) -> torch.Tensor:
    """Which samples are negatives: a boolean tensor of length ``batch``, on the CPU. A function of
    the generator's state alone, which must be a CPU generator."""
    if not 0 <= probability <= 1:
        raise ValueError(f"a probability lies in 0..1, got {probability}")
    return torch.rand(batch, generator=generator) < probability


def of_parts(sizes: Sequence[int], rng: Rng, probability: float) -> list[torch.Tensor]:
    """:func:`chosen` for each micro-batch. Of one generator, the division changes nothing."""
    if isinstance(rng, torch.Generator):
        return list(torch.split(chosen(sum(sizes), rng, probability), list(sizes)))
    return [chosen(size, one, probability) for size, one in zip(sizes, rng, strict=True)]


def share(negative: Sequence[torch.Tensor]) -> float:
    """Of all samples, those of other ranks included, how many are negatives."""
    everyone = torch.cat(list(negative))
    return ranks.sum_of(float(everyone.sum())) / ranks.sum_of(len(everyone))


def targets(lq: torch.Tensor, hq: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """B×3×H×W: ``lq`` where the sample is negative, ``hq`` where it is not. ``lq`` is the prepared
    one, as large as ``hq``."""
    return torch.where(_column(negative, lq, 4), lq, hq)


def prompts(
    positive_embeds: torch.Tensor, negative_embeds: torch.Tensor, negative: torch.Tensor
) -> torch.Tensor:
    """1×77×d twice -> B×77×d, the negative prompt for negative samples."""
    return torch.where(_column(negative, positive_embeds, 3), negative_embeds, positive_embeds)


def _column(negative: torch.Tensor, like: torch.Tensor, dims: int) -> torch.Tensor:
    return negative.to(like.device).view(-1, *[1] * (dims - 1))
