"""The tries of one scene: what was generated for it, and why it was not taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Try:
    """One generated image, without its pixels."""

    attempt: int
    """0, 1, ..."""
    seed: int
    similarity: float | None
    """Cosine to the conditioning reference; None where no face was found."""
    reason: str | None
    """Why it was rejected; None for the one that was taken."""
    scores: dict[str, float] = field(default_factory=dict)

    def as_column(self) -> dict[str, Any]:
        return {
            "attempt": self.attempt,
            "seed": self.seed,
            "similarity": self.similarity,
            "reason": self.reason,
            "scores": self.scores,
        }


def try_of_column(cell: Mapping[str, Any]) -> Try:
    scores = {name: score for name, score in (cell["scores"] or {}).items() if score is not None}
    return Try(cell["attempt"], cell["seed"], cell["similarity"], cell["reason"], scores)


def best(tries: Sequence[Try]) -> Try:
    """The most alike, the first of equals."""
    return max(tries, key=lambda one: -2.0 if one.similarity is None else one.similarity)


def main_reason(tries: Sequence[Try]) -> str:
    """Why nothing was taken: what most tries were rejected for, the latest of equals."""
    counts = Counter(one.reason for one in tries if one.reason is not None)
    latest = {one.reason: place for place, one in enumerate(tries)}
    return max(counts, key=lambda reason: (counts[reason], latest[reason]))
