"""Several metrics over the same images: decoded once, each model loaded once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inscene.errors import SampleError
from inscene.quality.available import why_unavailable
from inscene.quality.registry import Metric, Scorer, find_metric

ByteImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Score:
    """Of one image in one metric."""

    value: float | None = None
    status: str = "ok"
    """``ok``, or why there is no value: a snake_case word."""
    features: list[float] | None = None
    """Of a metric of sets, in place of a value."""


class OnePass:
    """``batch`` images of one size go through a network at once.

    A metric whose weights or packages are missing is in :attr:`unavailable` with the reason, and
    the others go on; with ``require_all`` that is raised.
    """

    def __init__(self, keys: Sequence[str], *, batch: int = 4, require_all: bool = False) -> None:
        self._batch = batch
        self.unavailable: dict[str, str] = {}
        self._loaded: list[tuple[Metric, Scorer]] = []
        for key in keys:
            metric = find_metric(key)
            error = why_unavailable(metric)
            if error is None:
                self._loaded.append((metric, metric.load()))
            elif require_all:
                raise error
            else:
                self.unavailable[key] = str(error)

    @property
    def available(self) -> list[str]:
        return [metric.key for metric, _ in self._loaded]

    def score(
        self, outputs: Sequence[ByteImage], references: Sequence[ByteImage | None]
    ) -> list[dict[str, Score]]:
        """Every available metric of each output (uint8 RGB, height × width × 3, of any sizes)
        against its clean image; None where there is none."""
        scores: list[dict[str, Score]] = [{} for _ in outputs]
        together = defaultdict(list)
        for index, (output, reference) in enumerate(zip(outputs, references, strict=True)):
            together[output.shape, None if reference is None else reference.shape].append(index)
        for indices in together.values():
            for start in range(0, len(indices), self._batch):
                some = indices[start : start + self._batch]
                images = [outputs[index] for index in some]
                clean = [references[index] for index in some]
                for metric, scorer in self._loaded:
                    for index, score in zip(
                        some, _scored(metric, scorer, images, clean), strict=True
                    ):
                        scores[index][metric.key] = score
        return scores


def _scored(
    metric: Metric, scorer: Scorer, images: list[ByteImage], clean: list[ByteImage | None]
) -> list[Score]:
    references = [one for one in clean if one is not None] if metric.reference else []
    if metric.of == "set":
        references = []
    elif metric.reference and len(references) < len(images):
        return [Score(status="no_reference")] * len(images)
    try:
        values = scorer(images, references)
    except SampleError as error:
        if len(images) == 1:
            return [Score(status=error.reason)]
        # It may be the fault of one of them.
        pairs = zip(images, clean, strict=True)
        return [score for one, own in pairs for score in _scored(metric, scorer, [one], [own])]
    if metric.of == "set":
        return [Score(status="set", features=np.asarray(v, np.float32).tolist()) for v in values]
    return [
        Score(value=float(value)) if np.isfinite(value) else Score(status="not_finite")
        for value in values
    ]
