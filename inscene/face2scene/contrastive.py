"""The loss that trains FaDeX: faces degraded alike attract, others repel."""

from __future__ import annotations

import torch
from torch import Tensor

TEMPERATURE = 0.07
"""[DASR, moco/builder.py] The paper's is lost."""


def info_nce(
    queries: Tensor,
    keys: Tensor,
    labels: Tensor,
    queue: Tensor,
    queue_labels: Tensor,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """InfoNCE with several positives, a scalar in float32.

    ``queries``, ``keys``: B × d, unit length, row i of both from one image; ``labels``: B operators
    from 0 on. ``queue``: K × d keys of earlier batches; ``queue_labels``: K, -1 in empty slots.

    Positives of i are the batch's keys with its label, its own left out, so that none shares its
    image [paper: positives are of other images; that i's own is left out is chosen to hold that
    strictly]. Negatives are keys of other labels, in the batch and in the queue; keys in the queue
    with its label are neither. The mean of −log softmax over i's positives [chosen: the paper's
    equation is lost; this is the supervised contrastive loss with the mean outside the logarithm],
    then the mean over all i that have positives; 0 if none has. Only ``queries`` get gradients.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = same & ~itself
    used = positive.any(dim=1)
    foreign = (queue_labels >= 0) & (queue_labels != labels[:, None])
    counted = torch.cat([~itself, foreign], dim=1)[used]
    positive = positive[used]
    # Autocast would multiply in half precision, which 1/temperature makes visible.
    with torch.autocast(queries.device.type, enabled=False):
        candidates = torch.cat([keys, queue.to(keys.dtype)]).detach().float()
        scores = queries.float()[used] @ candidates.T / temperature
    log_sum = scores.masked_fill(~counted, -torch.inf).logsumexp(dim=1, keepdim=True)
    log_share = scores[:, : len(labels)] - log_sum
    loss = -log_share.masked_fill(~positive, 0).sum(dim=1) / positive.sum(dim=1)
    return loss.sum() / used.sum().clamp(min=1)
