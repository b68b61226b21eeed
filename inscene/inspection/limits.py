"""Which stored score each threshold of a run is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inscene.engine.registry import step_class
from inscene.engine.step import Threshold
from inscene.errors import RecipeError
from inscene.schema import SCORES

NAMES = frozenset(field.name for field in SCORES)


@dataclass(frozen=True)
class Limit:
    """A threshold that bounds one score."""

    key: str
    """STEP.NAME, as ``inscene funnel --set`` takes it."""
    score: str
    value: float
    most: bool
    """The score may be at most so much; else it must be at least."""


def limits_of(steps: Sequence[Mapping[str, Any]]) -> list[Limit]:
    """``steps`` as a run's fingerprint has them. A step of somebody's own that is not here says
    nothing of its thresholds."""
    return [limit for facts in steps for limit in _of_step(facts)]


def _of_step(facts: Mapping[str, Any]) -> Iterator[Limit]:
    try:
        kind = step_class(facts["step"])
    except RecipeError:
        return
    if facts.get("version") != kind.version:  # its parameters and scores may mean something else
        return
    for name, threshold in kind.thresholds(facts).items():
        value = threshold.value if threshold.limit is None else threshold.limit
        score, most = _score_of(facts["step"], name, threshold)
        if score and isinstance(value, int | float) and not isinstance(value, bool):
            yield Limit(f"{facts['step']}.{name}", score, float(value), most)


def _score_of(step: str, name: str, threshold: Threshold) -> tuple[str | None, bool]:
    """``musiq.min``, ``min_musiq``, ``gates.musiq`` and, of a step ``musiq``, ``min``."""
    if threshold.score is not None:
        return threshold.score, threshold.most
    words = [part for part in name.split(".") if part not in ("min", "max")]
    most = threshold.most or name.split(".")[-1] == "max" or words[-1:] == ["max"]
    last = words[-1] if words else step
    for mark in ("min", "max"):
        if last.startswith(f"{mark}_"):
            last, most = last.removeprefix(f"{mark}_"), most or mark == "max"
        if last.endswith(f"_{mark}"):
            last, most = last.removesuffix(f"_{mark}"), most or mark == "max"
    return (last if last in NAMES else None), most
