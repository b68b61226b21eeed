"""Scores of many models as a few tables; intervals and tests are ``inscene leaderboard``'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from ablation_runs import Run
from ablation_scores import Score

from inscene.bench.leaderboard.paired import Comparison, compare
from inscene.quality.registry import Metric

SAID = {
    "own": "a square of the scene itself",
    "picture": "of another photograph, degraded alike",
    "both": "of another photograph, degraded otherwise",
    "zero": "zeros in the tokens' place",
    "none": "no face: the text alone",
}


class Scores:
    """A frame for each condition of each number of tokens: one row for a seed, image and metric.
    Seeds are the versions of an image, and images the clusters."""

    def __init__(
        self,
        planned: Sequence[Run],
        found: Mapping[str, Mapping[str, Any]],
        bicubic: Sequence[Score],
        used: Sequence[Metric],
    ) -> None:
        self.metrics = list(used)
        self.tokens = sorted({run.tokens for run in planned})
        self.seeds = sorted({run.seed for run in planned})
        rows = [
            {"tokens": run.tokens, "version": run.seed, **score}
            for run in planned
            for score in found[run.name]["scores"]
        ]
        # As good for every seed, so that each has its partner.
        rows += [{"tokens": -1, "version": seed, **one} for seed in self.seeds for one in bicubic]
        self._frame = pd.DataFrame(rows)
        self._frame["cluster"] = self._frame["sample_id"]

    def of(self, tokens: int, condition: str) -> pd.DataFrame:
        if tokens == 0:
            condition = "own"  # it looks at no face
        frame = self._frame
        return frame[(frame["tokens"] == tokens) & (frame["condition"] == condition)]

    @property
    def bicubic(self) -> pd.DataFrame:
        return self.of(-1, "bicubic")

    def means(self, frame: pd.DataFrame) -> list[str]:
        by_metric = frame.groupby("metric")["value"].mean()
        return [f"{by_metric[one.key]:.{one.decimals}f}" for one in self.metrics]

    def differences(self, frame: pd.DataFrame, partner: pd.DataFrame) -> list[list[str]]:
        """For each metric its title, the mean difference, its interval, p, the share of wins, and
        the mean difference of each seed."""
        over_all = compare(frame, partner, self.metrics)
        by_seed = [
            compare(
                frame[frame["version"] == seed], partner[partner["version"] == seed], self.metrics
            )
            for seed in self.seeds
        ]
        return [
            [
                one.title,
                _signed(over_all[one.key].difference, one),
                _interval(over_all[one.key], one),
                f"{over_all[one.key].p_holm:.4f}",
                f"{100 * over_all[one.key].win_rate:.0f} %",
                " ".join(_signed(seed[one.key].difference, one) for seed in by_seed),
            ]
            for one in self.metrics
        ]


def overall(scores: Scores) -> str:
    heads = ["", *(one.title for one in scores.metrics)]
    rows = [["bicubic", *scores.means(scores.bicubic)]]
    rows += [[_words(count), *scores.means(scores.of(count, "own"))] for count in scores.tokens]
    return table(heads, rows)


HEADS = ("metric", "difference", "95 % interval", "p (Holm)", "wins", "each seed")


def against_bicubic(scores: Scores) -> str:
    rows = [
        [_words(count), *cells]
        for count in scores.tokens
        for cells in scores.differences(scores.of(count, "own"), scores.bicubic)
    ]
    return table(["less bicubic", *HEADS], rows)


def against_none(scores: Scores, condition: str) -> str:
    rows = [
        [_words(count), *cells]
        for count in scores.tokens
        if count
        for cells in scores.differences(scores.of(count, condition), scores.of(0, "own"))
    ]
    return table(["less no tokens", *HEADS], rows)


def probes(scores: Scores, conditions: Sequence[str]) -> str:
    most = scores.tokens[-1]
    own = scores.of(most, "own")
    rows = [
        [SAID[condition], *cells]
        for condition in conditions
        for cells in scores.differences(scores.of(most, condition), own)
    ]
    return table([f"less {SAID['own']}", *HEADS], rows)


def attention(planned: Sequence[Run], found: Mapping[str, Mapping[str, Any]], text: int) -> str:
    rows = []
    for count in sorted({run.tokens for run in planned if run.tokens}):
        seeds = [found[run.name]["attention"] for run in planned if run.tokens == count]
        rows.append(
            [
                _words(count),
                f"{100 * count / (text + count):.1f} %",
                *(
                    " ".join(f"{100 * seed[name]:.1f} %" for seed in seeds)
                    for name in ("weight", "norm")
                ),
            ]
        )
    heads = ["", "of the context", "attention's weight on them", "their share of what is added"]
    return table(heads, rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, aligned; all columns but the first to the right."""
    widths = [max(len(row[index]) for row in (heads, *rows)) for index in range(len(heads))]
    lines = [
        " | ".join(
            [cells[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        )
        for cells in (heads, *rows)
    ]
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def _words(tokens: int) -> str:
    return "no tokens" if tokens == 0 else "1 token" if tokens == 1 else f"{tokens} tokens"


def _signed(value: float, metric: Metric) -> str:
    return f"{value:+.{metric.decimals}f}"


def _interval(found: Comparison, metric: Metric) -> str:
    if found.interval is None:
        return "–"
    return f"{_signed(found.interval.low, metric)} … {_signed(found.interval.high, metric)}"
