"""Whether FaDeX's embeddings tell operators apart, whoever is in the picture."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Similarity(NamedTuple):
    """Mean cosines in [-1, 1]."""

    positive: float
    """Of pairs of one operator and two contents."""
    negative: float
    """Of pairs of two operators."""


class CosineTest(NamedTuple):
    """Of I images, each degraded by the same P presets."""

    per_preset: Tensor
    """P: the mean over all pairs of images under one preset. To be high: content does not count."""
    per_image: Tensor
    """I: the mean over all pairs of presets of one image. To be low: the degradation does."""
    image_pairs: Tensor
    """P × I × I: the matrices behind ``per_preset``."""
    preset_pairs: Tensor
    """I × P × P: the matrices behind ``per_image``."""


def retrieval_accuracy(embeddings: Tensor, labels: Tensor, contents: Tensor | None = None) -> float:
    """In how many of N cases the nearest embedding of another content has the same operator, in
    [0, 1].

    ``embeddings``: N × d of any length; ``labels``: N operators; ``contents``: N images, by default
    all different. Rows without another content under their operator cannot be right and are left
    out. ValueError: there are only such rows.
    """
    same, other = _relations(labels, contents)
    answerable = (same & other).any(dim=1)
    if not answerable.any():
        raise ValueError("no operator has two contents, nothing can be retrieved")
    cosines = _cosines(embeddings).masked_fill(~other, -torch.inf)[answerable]
    nearest = cosines.argmax(dim=1, keepdim=True)
    return float(same[answerable].gather(1, nearest).double().mean())


def positive_negative_similarity(
    embeddings: Tensor, labels: Tensor, contents: Tensor | None = None
) -> Similarity:
    """Arguments as :func:`retrieval_accuracy`'s. ValueError: one of the kinds has no pair."""
    same, other = _relations(labels, contents)
    cosines = _cosines(embeddings)
    positive, negative = cosines[same & other], cosines[~same]
    if not len(positive) or not len(negative):
        raise ValueError("two contents of one operator and two operators are needed")
    return Similarity(float(positive.mean()), float(negative.mean()))


def cosine_matrices(embeddings: Tensor) -> CosineTest:
    """``embeddings``: I × P × d of any length, I and P at least 2. The paper's test has 10 images
    and 4 presets: 45 pairs of images a preset, 6 pairs of presets an image."""
    if embeddings.ndim != 3 or min(embeddings.shape[:2]) < 2:
        raise ValueError(
            f"embeddings must be I×P×d with I and P at least 2, got {tuple(embeddings.shape)}"
        )
    image_pairs = _cosines(embeddings.transpose(0, 1))
    preset_pairs = _cosines(embeddings)
    return CosineTest(
        _mean_of_pairs(image_pairs), _mean_of_pairs(preset_pairs), image_pairs, preset_pairs
    )


def _cosines(embeddings: Tensor) -> Tensor:
    """… × N × d to … × N × N, in float64: sums that others compare."""
    unit = F.normalize(embeddings.detach().double(), dim=-1)
    return unit @ unit.mT


def _mean_of_pairs(cosines: Tensor) -> Tensor:
    """Of a batch of N × N matrices, the mean above the diagonal."""
    side = cosines.shape[-1]
    row, column = torch.triu_indices(side, side, offset=1, device=cosines.device)
    return cosines[..., row, column].mean(dim=-1)


def _relations(labels: Tensor, contents: Tensor | None) -> tuple[Tensor, Tensor]:
    """Two N × N maps: of one operator, and of two contents."""
    if contents is None:
        contents = torch.arange(len(labels), device=labels.device)
    return labels[:, None] == labels, contents[:, None] != contents
