"""What contrastive training has beside FaDeX: its slow copy that makes the keys, and old keys.

Both are modules, so that their state_dicts continue a run bit for bit.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inscene.face2scene.fadex import DegradationCode, FaDeX

MOMENTUM = 0.999
"""[DASR, moco/builder.py] The paper's is lost."""
QUEUE_SIZE = 8192
"""[DASR] 32 · 256 keys."""


class MomentumEncoder(nn.Module):
    """A copy of FaDeX whose parameters follow it slowly. It never has gradients.

    Its batch norms take the batch's statistics in training mode, as in MoCo. Keep it in float32: a
    step of 1 - ``momentum`` is below what bfloat16 can add.
    """

    def __init__(self, encoder: FaDeX, momentum: float = MOMENTUM) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        self.momentum = momentum
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)

    @torch.no_grad()
    def update(self, encoder: FaDeX) -> None:
        """After a step of ``encoder``: parameters move towards it by 1 - momentum; the running
        statistics of batch norms are copied [chosen: a mean of means would lag behind; DASR leaves
        them alone]."""
        pairs = zip(self.encoder.parameters(), encoder.parameters(), strict=True)
        for own, other in pairs:
            own.lerp_(other, 1 - self.momentum)
        for own, other in zip(self.encoder.buffers(), encoder.buffers(), strict=True):
            own.copy_(other)

    @torch.no_grad()
    def forward(self, hq: Tensor, lq: Tensor) -> Tensor:
        """As FaDeX's, but only the keys: B × embedding_dim, unit length."""
        code: DegradationCode = self.encoder(hq, lq)
        return code.embedding


class Queue(nn.Module):
    """The newest ``size`` keys with their labels, the oldest replaced first.

    Slots begin as random unit vectors [DASR] of label -1, which the loss passes over [chosen: no
    operator made them]. Batches of any size are taken, also where they do not divide ``size``
    [chosen: 8192 is no multiple of the paper's batch of 20]. ``seed``: of the random vectors.
    """

    embeddings: Tensor
    labels: Tensor
    cursor: Tensor

    def __init__(self, size: int = QUEUE_SIZE, dim: int = 256, seed: int = 0) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        random = torch.randn(size, dim, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("embeddings", F.normalize(random, dim=1))
        self.register_buffer("labels", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor, labels: Tensor) -> None:
        """Puts in B × dim keys and their B labels; of more than ``size``, the last."""
        if embeddings.shape != (len(labels), self.embeddings.shape[1]):
            raise ValueError(
                f"keys of {len(labels)}×{self.embeddings.shape[1]} are needed, got "
                f"{tuple(embeddings.shape)}"
            )
        size, count = len(self.labels), len(labels)
        steps = torch.arange(max(0, count - size), count, device=self.cursor.device)
        # The cursor stays on its device: no wait for the accelerator.
        slots = (self.cursor + steps) % size
        self.embeddings[slots] = embeddings[-size:].to(self.embeddings)
        self.labels[slots] = labels[-size:].to(self.labels)
        self.cursor.copy_((self.cursor + count) % size)
