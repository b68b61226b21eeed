"""Stage one of training: one contrastive step of FaDeX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.optim import Adam, Optimizer

from inscene.face2scene import ranks
from inscene.face2scene.config import Section
from inscene.face2scene.contrastive import TEMPERATURE, info_nce
from inscene.face2scene.fadex import DegradationCode, FaDeX
from inscene.face2scene.momentum import MomentumEncoder, Queue
from inscene.face2scene.updates import Scalars, Update


class StageOneSettings(Section):
    temperature: Annotated[float, Field(gt=0)] = TEMPERATURE
    """[DASR moco/builder.py] The paper's is lost."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradients; None [chosen: DASR has none] leaves them as they are."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """[DASR option.py] Of Adam with betas 0.9 and 0.999, no weight decay; the paper's is lost."""
    warm_up_steps: Annotated[int, Field(ge=0)] = 0
    """The learning rate rises to its value over so many steps. 0 [chosen: DASR has none]."""
    decay_at: Annotated[float, Field(gt=0, le=1)] = 0.6
    """[DASR option.py: epoch 60 of 100] The part of the training after which the learning rate is
    multiplied by ``decay``."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.1
    """[DASR option.py]"""

    def rate_at(self, step: int, steps: int) -> float:
        """Learning rate of step ``step``, from 0, of ``steps``."""
        rising = min(1.0, (step + 1) / max(1, self.warm_up_steps))
        return self.learning_rate * rising * (self.decay if step >= self.decay_at * steps else 1.0)


@dataclass(frozen=True)
class StageOneBatch:
    """Two views of every face pair, drawn independently. B×3×S×S in [-1, 1] each."""

    query_hq: Tensor
    query_lq: Tensor
    key_hq: Tensor
    key_lq: Tensor
    operators: Tensor
    """B, int64, from 0: what degraded each. An operator must occur with two images to be learned
    from."""

    def __post_init__(self) -> None:
        sizes = {one.shape for one in (self.query_hq, self.query_lq)}
        sizes |= {one.shape for one in (self.key_hq, self.key_lq)}
        if len(sizes) > 1 or self.query_hq.ndim != 4 or len(self.operators) != len(self.query_hq):
            raise ValueError(
                "four views of one size B×3×S×S and B operators are needed, got "
                f"{sorted(map(tuple, sizes))} and {tuple(self.operators.shape)}"
            )


def fadex_optimiser(encoder: FaDeX, settings: StageOneSettings) -> Adam:
    return Adam(encoder.parameters(), lr=settings.learning_rate)


class StageOne:
    """The step, without a loop, data or files. ``encoder`` must be in training mode.

    Of several ranks, each has its part of the batch, and the loss is that of the whole one. Their
    batch norms must be joint (:func:`inscene.face2scene.ranks.join_batch_norms`): else the
    statistics tell which images share a rank.
    """

    def __init__(
        self,
        encoder: FaDeX,
        momentum: MomentumEncoder,
        queue: Queue,
        optimiser: Optimizer,
        settings: StageOneSettings,
    ) -> None:
        self.encoder, self.momentum, self.queue = encoder, momentum, queue
        self.optimiser, self.settings = optimiser, settings

    def step(self, batch: StageOneBatch) -> Scalars:
        """Compare, update the encoder, let the momentum encoder follow, put the keys into the
        queue. One batch is one step: keys of micro-batches would not see each other.

        Returns ``loss``, ``gradient`` (its norm), ``positive`` and ``negative``: mean cosines of
        queries with keys of the same operator, of other images, and of other operators; NaN in a
        batch that has none.

        Raises ``NonFiniteLossError``, before anything but running statistics has changed.
        """
        if not self.encoder.training:
            raise ValueError("FaDeX is in evaluation mode: call encoder.train() first")
        operators = ranks.gathered(batch.operators.to(batch.query_hq.device))
        keys = ranks.gathered(self.momentum(batch.key_hq, batch.key_lq))
        code: DegradationCode = self.encoder(batch.query_hq, batch.query_lq)
        queries = ranks.gathered(code.embedding)
        update = Update(self.optimiser)
        loss = info_nce(
            queries,
            keys,
            operators,
            self.queue.embeddings,
            self.queue.labels,
            self.settings.temperature,
        )
        update.add(loss, loss=loss)
        scalars = update.apply(self.settings.clip_norm or float("inf"), "gradient")
        self.momentum.update(self.encoder)
        self.queue.enqueue(keys, operators)
        return scalars | _cosines(queries.detach(), keys, operators)


def _cosines(queries: Tensor, keys: Tensor, operators: Tensor) -> Scalars:
    cosines = queries.float() @ keys.float().T
    same = operators[:, None] == operators[None, :]
    others = same.clone().fill_diagonal_(False)
    return {
        "positive": cosines[others].mean().item(),
        "negative": cosines[~same].mean().item(),
    }
