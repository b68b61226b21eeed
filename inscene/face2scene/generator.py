"""All of Face2Scene as one function of a batch, as Stage II trains it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from inscene.face2scene import guidance, negatives
from inscene.face2scene.config import Face2SceneConfig
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.mapnet import MapNet
from inscene.face2scene.prompts import PromptEmbeds
from inscene.face2scene.restorer import SceneRestorer
from inscene.face2scene.tokens import degradation_tokens


class Parts(Protocol):
    """What a ``Face2ScenePipeline`` is made of."""

    @property
    def config(self) -> Face2SceneConfig: ...
    @property
    def restorer(self) -> SceneRestorer: ...
    @property
    def fadex(self) -> FaDeX: ...
    @property
    def mapnet(self) -> MapNet: ...
    @property
    def prompts(self) -> PromptEmbeds: ...


class TrainableRestorer(nn.Module):
    """The parts of a pipeline, not copies of them: what is trained here is what it then runs.

    Gradients reach the adapters and MapNet, as ``config.trainable`` has it; FaDeX is frozen and
    stays in evaluation mode, since its batch norms are not to learn from single faces.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.config = parts.config
        self.restorer, self.fadex, self.mapnet = parts.restorer, parts.fadex, parts.mapnet
        self.register_buffer("positive", parts.prompts.positive.detach(), persistent=False)
        self.register_buffer("negative", parts.prompts.negative.detach(), persistent=False)
        self.restorer.freeze(self.config)
        self.fadex.requires_grad_(False)
        # Without tokens nothing would reach it, and an optimiser would only shrink it.
        self.mapnet.requires_grad_(bool(self.config.token_scales))
        self.train()

    positive: Tensor
    negative: Tensor

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.fadex.eval()
        return self

    def restorer_parameters(self) -> list[nn.Parameter]:
        return list(_trainable(self.restorer))

    def mapnet_parameters(self) -> list[nn.Parameter]:
        return list(_trainable(self.mapnet))

    def forward(
        self,
        lq: Tensor,
        negative: Tensor,
        pairs: Sequence[FacePair | None],
        rng: torch.Generator,
    ) -> Tensor:
        """``lq``: B×3×H×W, degraded and as large as the result. ``negative``: B, bool, who is given
        the negative prompt. ``pairs``: of the whole scenes that ``lq`` was cut from; None for all
        of them where there are no faces. ``rng`` draws the latents from what the VAE says of them.

        Raises ``ValueError`` where only some have a pair, since they have more tokens.
        """
        if not len(lq) == len(negative) == len(pairs):
            raise ValueError(
                f"got {len(lq)} scenes, {len(negative)} prompts and {len(pairs)} face pairs"
            )
        prompt = negatives.prompts(self.positive, self.negative, negative)
        restored: Tensor = self.restorer(lq, guidance.context(prompt, self._tokens(pairs)), rng)
        return restored

    def _tokens(self, pairs: Sequence[FacePair | None]) -> Tensor | None:
        faces = [pair for pair in pairs if pair is not None]
        if not self.config.token_scales or not faces:
            return None
        if len(faces) < len(pairs):
            raise ValueError(
                f"{len(faces)} of {len(pairs)} scenes have a face pair: put those without into "
                "batches of their own"
            )
        limits = self.config.faces
        return degradation_tokens(self.fadex, self.mapnet, faces, limits, limits.train_max_side_px)


def _trainable(module: nn.Module) -> Iterator[nn.Parameter]:
    return (one for one in module.parameters() if one.requires_grad)
