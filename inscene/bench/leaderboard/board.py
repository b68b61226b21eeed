"""A board: the methods that were measured on one suite, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inscene.bench.leaderboard.intervals import Interval
from inscene.bench.leaderboard.paired import Comparison
from inscene.bench.leaderboard.ranking import Mark, Wins, marks, wins
from inscene.quality.registry import Metric


@dataclass(frozen=True)
class Cell:
    mean: float | None
    """Of a metric of sets, its one value."""
    scored: int
    """Samples with a value."""
    interval: Interval | None = None
    missing: Mapping[str, int] = field(default_factory=dict)
    """Why samples that were restored have no value: status -> how many."""
    unavailable: Mapping[str, str] | None = None
    """Where the metric could not be had at all: ``reason`` and ``next_step``."""


@dataclass(frozen=True)
class Line:
    method: str
    samples: int
    """Inputs of the run, those that failed included."""
    cells: Mapping[str, Cell]
    """By metric; none for a metric that was not asked for."""
    restore_s: float | None
    """Median wall seconds of the method, a sample."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Why samples have no output: reason -> how many."""
    against_baseline: Mapping[str, Comparison] = field(default_factory=dict)
    """By metric."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def cell(self, metric: str) -> Cell | None:
        """Where every sample failed, there is no row of any metric: nothing was scored."""
        return self.cells.get(metric) or (Cell(None, 0) if self.failed_everywhere else None)

    @property
    def failed_everywhere(self) -> bool:
        return not self.cells and bool(self.failures)

    def has(self, metric: str) -> bool:
        return metric in self.cells and self.cells[metric].mean is not None

    @property
    def is_oracle(self) -> bool:
        """It looked at the clean images: for studies, and not to be ranked."""
        steps = self.facts.get("restored", {}).get("steps", ())
        return any(step.get("sees_clean") for step in steps)


@dataclass(frozen=True)
class Board:
    suite: str
    metrics: tuple[Metric, ...]
    lines: tuple[Line, ...]
    clusters: int
    """Independent draws that the intervals rest on."""
    clusters_are: str
    """identities, samples, or both."""
    identity: str | None = None
    """The person whose samples these are, on a board of one person."""
    baseline: str | None = None

    @property
    def title(self) -> str:
        return self.suite if self.identity is None else f"{self.suite} · {self.identity}"

    @property
    def samples(self) -> int:
        """Of the method that was run on the most."""
        return max(line.samples for line in self.lines)

    def line(self, method: str) -> Line:
        return next(line for line in self.lines if line.method == method)

    def complete(self, line: Line, metric: str) -> bool:
        """Every sample has a value: only then may the mean be ranked beside others."""
        return line.has(metric) and line.cells[metric].scored == self.samples

    def marks(self, metric: Metric) -> dict[str, Mark]:
        """The methods with the best and second best complete mean, equal at the displayed
        precision; nothing is marked where there is nothing to compare with. Oracles are not."""
        lines = [line for line in self.lines if not line.is_oracle]
        if len(lines) < 2:
            return {}
        ranked = {line.method: self.ranked(line) for line in lines}
        shown = {name: texts[metric.key] for name, texts in ranked.items() if metric.key in texts}
        return marks(shown, metric.higher_is_better)

    def best(self, metric: Metric) -> set[str]:
        return {name for name, mark in self.marks(metric).items() if mark is Mark.best}

    def ranked(self, line: Line) -> dict[str, str]:
        """The line's complete means as they are displayed, by metric."""
        return {
            metric.key: displayed(metric, line.cells[metric.key].mean or 0.0)
            for metric in self.metrics
            if self.complete(line, metric.key)
        }

    def wins(self, line: Line) -> Wins | None:
        """Against the baseline, on the metrics that both have complete."""
        if self.baseline is None or line.method == self.baseline:
            return None
        directions = {metric.key: metric.higher_is_better for metric in self.metrics}
        return wins(self.ranked(line), self.ranked(self.line(self.baseline)), directions)

    def significant_wins(self, line: Line) -> int:
        """Metrics of images on which the paired difference is better, and not by chance."""
        directions = {metric.key: metric.higher_is_better for metric in self.metrics}
        return sum(
            one.significant and (one.difference > 0) == directions[key]
            for key, one in line.against_baseline.items()
        )


def displayed(metric: Metric, value: float) -> str:
    """At the metric's precision; no minus before a zero."""
    text = f"{value:.{metric.decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text
