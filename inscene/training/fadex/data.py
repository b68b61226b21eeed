"""The batches of FaDeX's training: two views of each face, of groups that share an operator."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from torch import Tensor

from inscene.degrade.operator import Operator
from inscene.degrade.profile import load_profile
from inscene.errors import SampleError, UsageError
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.stage_one import StageOneBatch
from inscene.face2scene.views import view
from inscene.faces.align import ByteImage
from inscene.seeds import Draws
from inscene.training.fadex.faces import Face, FaceReader
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.fadex.samples import Sample, Samples
from inscene.training.order import WHOLE, Group, Share


@dataclass(frozen=True)
class FadexBatch:
    """Bytes, a quarter of what the networks take: they travel between processes."""

    query_hq: Tensor
    query_lq: Tensor
    key_hq: Tensor
    key_lq: Tensor
    """B×3×S×S, uint8 RGB, each."""
    operators: Tensor
    """B, int64."""
    samples: tuple[str, ...]
    """Names of the B samples, for whoever looks at a batch."""

    def tensors(self) -> dict[str, Tensor]:
        found = ((one.name, getattr(self, one.name)) for one in fields(self))
        return {name: value for name, value in found if isinstance(value, Tensor)}

    def pin_memory(self) -> Self:
        pinned = {name: one.pin_memory() for name, one in self.tensors().items()}
        return type(self)(**pinned, samples=self.samples)

    def on(self, device: torch.device) -> StageOneBatch:
        """As the step takes it: float32 in [-1, 1]."""
        views = {name: one.to(device, non_blocking=True) for name, one in self.tensors().items()}
        operators = views.pop("operators")
        return StageOneBatch(
            **{name: one.float() / 127.5 - 1 for name, one in views.items()}, operators=operators
        )


class FadexSource:
    """Makes them. Pickles, so that other processes can."""

    def __init__(self, samples: Samples, recipe: FadexRecipe) -> None:
        self._samples, self._recipe = samples, recipe
        self.groups = samples.groups(recipe)
        self._reader = FaceReader(samples.kind, recipe.data)
        self._profile = load_profile(recipe.data.profile)

    def steps(self) -> int:
        """Of the recipe: so many, or so many epochs."""
        return self._recipe.steps or self.groups.steps(self._recipe.epochs)

    def batch(self, step: int, share: Share = WHOLE) -> FadexBatch:
        """Raises ``UsageError`` for an image that cannot be used, naming it."""
        views: list[tuple[FacePair, FacePair]] = []
        labels: list[int] = []
        names: list[str] = []
        groups = self.groups.groups(step)
        for group, index in share.of([(one, at) for one in groups for at in one.indices]):
            sample = self._samples.train[index]
            views.append(self._views(sample, group))
            labels.append(group.label)
            names.append(sample.entry.id)
        queries, keys = zip(*views, strict=True)
        return FadexBatch(
            query_hq=torch.stack([one.hq for one in queries]),
            query_lq=torch.stack([one.lq for one in queries]),
            key_hq=torch.stack([one.hq for one in keys]),
            key_lq=torch.stack([one.lq for one in keys]),
            operators=torch.tensor(labels, dtype=torch.int64),
            samples=tuple(names),
        )

    def _views(self, sample: Sample, group: Group) -> tuple[FacePair, FacePair]:
        draws = Draws(self._recipe.seed, "fadex", sample.entry.id, group.epoch, group.label)
        try:
            face = self._face(sample, group, draws)
        except SampleError as error:
            raise UsageError(
                f"cannot be trained on: {error}",
                where=sample.entry.id,
                next_step="Mend it, or take it out of the data: inscene verify finds all such.",
            ) from error
        query, key = (self._view(face, draws, name) for name in ("query", "key"))
        return query, key

    def _face(self, sample: Sample, group: Group, draws: Draws) -> Face:
        if self._samples.kind != "photos":
            return self._reader.stored(sample, draws)
        # Of the group, not of the image: all of it is degraded alike, with noise of its own each.
        operator = Operator.draw(
            self._profile, Draws(self._recipe.seed, "fadex operator", group.label)
        )
        face = self._reader.clean(sample, draws)
        return self._reader.degraded(face, operator, draws.seed("noise"))

    def _view(self, face: Face, draws: Draws, name: str) -> FacePair:
        hq = face.hq(self._recipe.data, draws, name)
        pair = FacePair(lq=planes(face.lq), hq=planes(hq))
        return view(pair, self._recipe.view_px, np.random.default_rng(draws.seed(name)))


def planes(image: ByteImage) -> Tensor:
    """3 × height × width, uint8, of its own."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
