"""Whether two results mean the same by a metric: numbers of one name may be of two kinds."""

from __future__ import annotations

from typing import Any

from inscene.bench.results import Results
from inscene.errors import UsageError

_ONLY_LAST_DIGITS = frozenset({"torch"})
"""Packages whose version does not define a value."""


def definition(results: Results, metric: str) -> dict[str, Any]:
    """What decides a metric's values: the part of the images that is scored, package versions,
    hashes of weights. Empty where the facts do not tell."""
    for run in results.facts.values():
        steps = {step["step"]: step for step in run.get("steps", ())} if _is_run(run) else {}
        score = steps.get("score", {})
        if metric in score.get("metrics", ()):
            metrics = score["metrics"]
            of_metric = metrics[metric] if isinstance(metrics, dict) else {}
            packages = {
                name: version
                for name, version in of_metric.get("packages", {}).items()
                if name not in _ONLY_LAST_DIGITS
            }
            return {
                "view": steps.get("view", {}).get("of"),
                "score step": score.get("version"),
                "packages": packages,
                "weights": of_metric.get("weights", {}),
            }
    return {}


def _is_run(run: Any) -> bool:
    return isinstance(run, dict) and isinstance(run.get("steps"), list)


def require_same(left: Results, right: Results, metric: str) -> None:
    """Raises :class:`UsageError` where the facts say that a metric is not the same in both."""
    ours, theirs = definition(left, metric), definition(right, metric)
    for key in ours.keys() & theirs.keys():
        if ours[key] != theirs[key]:
            raise UsageError(
                f"{metric} of {left.method!r} and {right.method!r} on {left.suite!r} cannot be "
                f"compared: {key} is {_short(ours[key])} and {_short(theirs[key])}",
                where=f"{left.location}, {right.location}",
                why="Values of different definitions differ where the images do not.",
                next_step="Score both with the same version and weights: run inscene bench again.",
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
