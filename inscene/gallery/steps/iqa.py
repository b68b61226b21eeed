"""``iqa``: image quality as networks see it, without a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from inscene.doctor.machine import version_of
from inscene.engine.rows import Call, Drop, Fail, Keep, Outcome, Row
from inscene.engine.step import Redecision, Step, StepContext, Threshold
from inscene.errors import RecipeError
from inscene.quality.one_pass import OnePass, Scores
from inscene.quality.registry import find_metric
from inscene.weights.locate import hashes_of
from inscene.weights.manifest import load_manifest

METRICS = ("musiq", "clipiqa", "maniqa")
"""In the order in which they decide, and all columns of ``scores``."""
Least = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Measure:
    """One metric; all of them are better when higher."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    min: Least | None = None
    """Smallest score that is kept; null: measured, and nothing is dropped for it."""


@dataclass(frozen=True)
class Iqa(Step):
    """Measure the scene; drop what is below a threshold. All metrics are measured before one of
    them decides, so that each can be tried out later. A metric that is null is not measured."""

    musiq: Measure | None = None
    clipiqa: Measure | None = None
    maniqa: Measure | None = None
    batch: Annotated[int, Field(ge=1, le=256)] = 1
    """Images at once. 1 gives the same scores whatever else is in work; more differ by rounding."""

    def __post_init__(self) -> None:
        if not self._measures:
            raise RecipeError(
                "iqa measures nothing",
                next_step="Name a metric, or leave the step out: --set iqa=null.",
            )

    @property
    def on_gpu(self) -> bool:
        return True

    @property
    def _measures(self) -> dict[str, Measure]:
        found = {key: getattr(self, key) for key in METRICS}
        return {key: measure for key, measure in found.items() if measure is not None}

    @property
    def needs_weights(self) -> tuple[str, ...]:
        """All that it needs, by their names in ``manifests/weights.yaml``."""
        names = (name for key in self._measures for name in find_metric(key).weights)
        return tuple(dict.fromkeys(names))

    @property
    def without_weights(self) -> str:
        """How to do without them."""
        return "--set iqa=null"

    def fingerprint(self) -> dict[str, Any]:
        asked = {
            key: {"min": measure.min, **_facts(key)} for key, measure in self._measures.items()
        }
        return {"batch": self.batch, **asked}

    def setup(self, context: StepContext) -> Call:
        metrics = OnePass(list(self._measures), batch=self.batch, require_all=True)

        def measure(rows: Sequence[Row]) -> list[Outcome]:
            images = [row.pixels for row in rows if row.pixels is not None]
            assert len(images) == len(rows), "decode comes first"
            scored = metrics.score(images, [None] * len(images))
            return [self._decide(row, one) for row, one in zip(rows, scored, strict=True)]

        return measure

    def _decide(self, row: Row, scored: Scores) -> Outcome:
        row.scores.update({key: one.value for key, one in scored.items() if one.value is not None})
        for key in self._measures:
            if scored[key].value is None:
                return Fail("iqa_not_measured", f"{key}: {scored[key].status}")
        for key, measure in self._measures.items():
            value = row.scores[key]
            if measure.min is not None and value < measure.min:
                return Drop(f"low_{key}", f"{value:.4g} < {measure.min:g}")
        return Keep((row,))

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        return {
            f"{key}.min": Threshold(facts[key]["min"], Least | None, score=key)
            for key in METRICS
            if key in facts
        }

    @classmethod
    def redecide(
        cls, facts: Mapping[str, Any], changed: Mapping[str, Any], row: Mapping[str, Any]
    ) -> Redecision:
        scores = row.get("scores") or {}
        for key in (key for key in METRICS if key in facts):
            least = changed.get(f"{key}.min", facts[key]["min"])
            if least is None:
                continue
            if scores.get(key) is None:
                return Redecision("unknown", f"its {key} is not stored")
            if scores[key] < least:
                return Redecision("drop", f"low_{key}")
        return Redecision("keep")


def _facts(key: str) -> dict[str, Any]:
    """What decides a metric's value: versions, and hashes of weights. Raises
    ``MissingWeightError``."""
    metric = find_metric(key)
    return {
        "packages": {package: version_of(package) for package in metric.packages},
        "weights": {
            weight.name: hashes_of(weight.name)
            for weight in load_manifest().with_needs(metric.weights)
        },
    }
