"""What FaDeX makes of images and operators that it has never seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from inscene.bench.fadex_study.figure import both
from inscene.bench.fadex_study.measure import Compared
from inscene.bench.fadex_study.png import png
from inscene.degrade.operator import Operator, load_operator
from inscene.degrade.profile import load_profile
from inscene.errors import SampleError, UsageError
from inscene.face2scene.face_pair import FacePair, fitted
from inscene.face2scene.fadex import DegradationCode, FaDeX
from inscene.face2scene.frozen import frozen
from inscene.face2scene.similarity import CosineTest, cosine_matrices, retrieval_accuracy
from inscene.face2scene.updates import Scalars
from inscene.seeds import Draws
from inscene.training.fadex.data import planes
from inscene.training.fadex.faces import FaceReader
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.fadex.samples import Samples

AT_ONCE = 20
"""Pairs that go through FaDeX together. Part of what is measured only in the last digits."""


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Images × operators face pairs, uint8: I·P × 3 × S × S each."""

    hq: Tensor
    lq: Tensor
    images: int

    @torch.no_grad()
    def codes(self, fadex: FaDeX, device: torch.device) -> Tensor:
        """I × P × d."""
        found = []
        for start in range(0, len(self.hq), AT_ONCE):
            hq, lq = (one[start : start + AT_ONCE].to(device) for one in (self.hq, self.lq))
            code: DegradationCode = fadex(hq.float() / 127.5 - 1, lq.float() / 127.5 - 1)
            found.append(code.embedding.cpu())
        return torch.cat(found).view(self.images, len(self.hq) // self.images, -1)


class FadexValidation:
    """Every image under every operator, so that cosines of both kinds are of the same pairs."""

    def __init__(self, samples: Samples, recipe: FadexRecipe, folder: Path) -> None:
        self._samples, self._recipe, self._folder = samples, recipe, folder
        self._drawn: _Pairs | None = None
        self._fixed: _Pairs | None = None

    def measure(self, fadex: FaDeX, device: torch.device, done: int) -> Scalars:
        """Mean cosines ``positive`` (one operator, two images) and ``negative`` (one image, two
        operators), their ``gap``, and ``retrieval``: how often the nearest code of another image is
        of the same operator. With presets, the same of them, and their matrices as JSON and PNG.

        FaDeX is in training mode again afterwards, and unchanged.
        """
        with frozen(fadex):
            if self._drawn is None:
                profile = load_profile(self._recipe.data.profile)
                draws = (Draws(self._recipe.seed, "held out", n) for n in range(self._count))
                self._drawn = self._pairs([Operator.draw(profile, one) for one in draws])
            codes = self._drawn.codes(fadex, device)
            test, retrieval = _compared(codes)
            scalars = _scalars("", test, retrieval)
            if (in_batches := self._in_batches(codes)) is not None:
                scalars["batch_retrieval"] = in_batches
            if presets := self._recipe.validation.presets:
                if self._fixed is None:
                    self._fixed = self._pairs([load_operator(name) for name in presets])
                test, retrieval = _compared(self._fixed.codes(fadex, device))
                scalars |= _scalars("preset_", test, retrieval)
                self._draw(test, retrieval, presets, done)
        return scalars

    def _in_batches(self, codes: Tensor) -> float | None:
        """None where there are too few images or operators for one batch."""
        images, operators = codes.shape[:2]
        if images < self._recipe.images or operators < self._recipe.operators:
            return None
        rng = torch.Generator().manual_seed(Draws(self._recipe.seed, "batches").seed("retrieval"))
        found = []
        for _ in range(self._recipe.validation.draws):
            rows = torch.randperm(images, generator=rng)[: self._recipe.images]
            columns = torch.randperm(operators, generator=rng)[: self._recipe.operators]
            found.append(_compared(codes[rows][:, columns])[1])
        return sum(found) / len(found)

    @property
    def _count(self) -> int:
        return self._recipe.validation.operators

    def _pairs(self, operators: Sequence[Operator]) -> _Pairs:
        side = self._recipe.validation.view_px or self._recipe.view_px
        reader = FaceReader(self._samples.kind, self._recipe.data)
        hq, lq = [], []
        for sample in self._samples.validation:
            draws = Draws(self._recipe.seed, "validation", sample.content)
            try:
                face = reader.clean(sample, draws)
                for operator in operators:
                    one = reader.degraded(face, operator, draws.seed("noise"))
                    # One for all operators: only the degradation tells them apart.
                    clean = one.hq(self._recipe.data, draws, "validation")
                    pair = fitted(FacePair(planes(one.lq), planes(clean)), side, side)
                    hq.append(pair.hq)
                    lq.append(pair.lq)
            except SampleError as error:
                raise UsageError(
                    f"cannot be used for validation: {error}", where=sample.entry.id
                ) from error
        return _Pairs(torch.stack(hq), torch.stack(lq), len(self._samples.validation))

    def _draw(self, test: CosineTest, retrieval: float, presets: Sequence[str], done: int) -> None:
        """Figure 3 of the paper, by what is known after so many steps."""
        self._folder.mkdir(parents=True, exist_ok=True)
        names = [Path(name).stem for name in presets]
        stem = self._folder / f"cosines-{done:08d}"
        document = {
            "done": done,
            "images": [one.content for one in self._samples.validation],
            "presets": names,
            "per_preset": test.per_preset.tolist(),
            "per_image": test.per_image.tolist(),
            "image_pairs": test.image_pairs.tolist(),
            "preset_pairs": test.preset_pairs.tolist(),
        }
        stem.with_suffix(".json").write_text(json.dumps(document) + "\n", encoding="utf-8")
        figure = both(Compared("embedding", "Codes q", test, retrieval), names)
        stem.with_suffix(".png").write_bytes(png(figure))


def _compared(codes: Tensor) -> tuple[CosineTest, float]:
    images, operators = codes.shape[:2]
    labels = torch.arange(operators).repeat(images)
    contents = torch.arange(images).repeat_interleave(operators)
    return cosine_matrices(codes), retrieval_accuracy(codes.flatten(0, 1), labels, contents)


def _scalars(prefix: str, test: CosineTest, retrieval: float) -> Scalars:
    positive, negative = float(test.per_preset.mean()), float(test.per_image.mean())
    return {
        f"{prefix}positive": positive,
        f"{prefix}negative": negative,
        f"{prefix}gap": positive - negative,
        f"{prefix}retrieval": retrieval,
    }
