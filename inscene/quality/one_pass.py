"""All metrics of an image while it is at hand: decoded once, converted once, batched, and what a
metric computes of a clean image computed once for all methods that restored it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inscene.errors import MachineError, SampleError
from inscene.quality.inputs import check_pair
from inscene.quality.learned import Learned, as_tensor, evaluating
from inscene.quality.networks import best_device
from inscene.quality.registry import ByteImage, Metric, Scorer, find_metric

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Score:
    """Of one image by one metric."""

    value: float | None
    """None where there is none, never 0 instead; of a metric of sets, always."""
    status: str = "ok"
    """``ok``, or why there is no value: ``image_too_small``, ``no_reference``, …"""
    features: NDArray[np.float32] | None = None
    """Of a metric of sets."""


Scores = dict[str, Score]
"""By metric, in the order that was asked for; without those that are unavailable."""


class OnePass:
    """Metrics by their keys, each loaded once.

    One whose weights or packages are missing is left out, and ``unavailable`` has the reason and
    what to do; ``require_all`` raises the ``MachineError`` instead. ``batch`` images of one size
    are measured together; None stands for 4 on a GPU and 1 on a CPU, whose caches hold the feature
    maps of one (TOPIQ of 512² takes 1.4 times as long in batches). Raises ``UsageError`` for an
    unknown key, ``VerificationError`` for weights that were changed.
    """

    def __init__(
        self, keys: Sequence[str], *, batch: int | None = None, require_all: bool = False
    ) -> None:
        self.unavailable: dict[str, str] = {}
        self._scorers: dict[str, tuple[Metric, Scorer]] = {}
        for metric in [find_metric(key) for key in keys]:
            try:
                self._scorers[metric.key] = metric, metric.load()
            except MachineError as error:
                if require_all:
                    raise
                self.unavailable[metric.key] = str(error)
        uses_torch = any("torch" in metric.packages for metric, _ in self._scorers.values())
        self._batch = batch or (4 if uses_torch and best_device() == "cuda" else 1)

    @property
    def available(self) -> tuple[str, ...]:
        return tuple(self._scorers)

    def score(
        self, outputs: Sequence[ByteImage], references: Sequence[ByteImage | None]
    ) -> list[Scores]:
        """Each output by all metrics, against its own clean image or none. Sizes may differ."""
        alike: dict[Any, list[int]] = defaultdict(list)
        for index, (output, reference) in enumerate(zip(outputs, references, strict=True)):
            alike[_kind(output), None if reference is None else _kind(reference)].append(index)
        found: dict[int, Scores] = {}
        for indices in alike.values():
            for start in range(0, len(indices), self._batch):
                some = indices[start : start + self._batch]
                against = [references[index] for index in some]
                clean = [one for one in against if one is not None]  # all, or none: they are alike
                scored = self._measure([outputs[index] for index in some], clean)
                found.update(zip(some, scored, strict=True))
        return [found[index] for index in range(len(outputs))]

    def score_methods(
        self, outputs_by_method: Mapping[str, ByteImage], reference: ByteImage | None
    ) -> dict[str, Scores]:
        """What several methods made of one image, by all metrics: the clean image is looked at
        once."""
        alike: dict[Any, list[str]] = defaultdict(list)
        for method, output in outputs_by_method.items():
            alike[_kind(output)].append(method)
        found: dict[str, Scores] = {}
        for methods in alike.values():
            outputs = [outputs_by_method[method] for method in methods]
            scored = self._measure(outputs, [] if reference is None else [reference])
            found.update(zip(methods, scored, strict=True))
        return {method: found[method] for method in outputs_by_method}

    def _measure(
        self, outputs: Sequence[ByteImage], references: Sequence[ByteImage]
    ) -> list[Scores]:
        group = _Group(outputs, references)
        rows: list[Scores] = [{} for _ in outputs]
        for key, (metric, scorer) in self._scorers.items():
            for row, score in zip(rows, self._one_metric(metric, scorer, group), strict=True):
                row[key] = score
        return rows

    def _one_metric(self, metric: Metric, scorer: Scorer, group: _Group) -> list[Score]:
        count = len(group.outputs)
        if metric.reference and metric.of == "image" and not group.references:
            return [Score(None, "no_reference")] * count
        try:
            return self._values(metric, scorer, group)
        except SampleError as error:
            return [Score(None, error.reason)] * count
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        # Outside of the handler, whose traceback holds on to what took the memory.
        _free_memory()
        if count == 1:
            return [Score(None, "out_of_memory")]
        alone = [group.alone(index) for index in range(count)]
        return [score for one in alone for score in self._one_metric(metric, scorer, one)]

    def _values(self, metric: Metric, scorer: Scorer, group: _Group) -> list[Score]:
        compares = metric.reference and metric.of == "image"
        if compares:
            check_pair(group.outputs[0], group.references[0])
        if isinstance(scorer, Learned):
            return [_score(value) for value in self._learned(scorer, group, compares)]
        values = scorer(group.outputs, group.one_each if compares else [])
        if metric.of == "set":
            return [Score(None, features=features) for features in values]
        return [_score(value) for value in values]

    def _learned(self, scorer: Learned, group: _Group, compares: bool) -> list[float]:
        values: list[float] = []
        with evaluating():
            scorer.check_size(group.images)
            prepared = scorer.prepare(group.clean) if compares else None
            for start in range(0, len(group.images), self._batch):
                values += scorer.scores(group.images[start : start + self._batch], prepared)
        return values


@dataclass(frozen=True)
class _Group:
    """Outputs of one size, and as many references of one size, one for all of them, or none."""

    outputs: Sequence[ByteImage]
    references: Sequence[ByteImage]

    def __post_init__(self) -> None:
        assert len(self.references) in (0, 1, len(self.outputs))

    @cached_property
    def images(self) -> Tensor:
        return as_tensor(self.outputs, best_device())

    @cached_property
    def clean(self) -> Tensor:
        return as_tensor(self.references, best_device())

    @property
    def one_each(self) -> Sequence[ByteImage]:
        return (
            self.references if len(self.references) > 1 else [*self.references] * len(self.outputs)
        )

    def alone(self, index: int) -> _Group:
        return _Group([self.outputs[index]], self.one_each[index : index + 1])


def _kind(image: ByteImage) -> tuple[Any, ...]:
    return image.shape, image.dtype


def _score(value: float) -> Score:
    return Score(value) if math.isfinite(value) else Score(None, "not_finite")


def _is_out_of_memory(error: Exception) -> bool:
    """torch says it in a class of its own on a GPU, and in words on a CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "allocate memory" in str(error)
    )


def _free_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
