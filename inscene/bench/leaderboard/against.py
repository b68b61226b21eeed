"""New results against old ones: what got worse, and by more than chance."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inscene.bench.leaderboard.board import Board, Cell, Line, displayed
from inscene.bench.leaderboard.build import boards_of, prepared
from inscene.bench.leaderboard.definitions import require_same
from inscene.bench.leaderboard.intervals import Interval
from inscene.bench.leaderboard.paired import Comparison, compare
from inscene.bench.leaderboard.ranking import beats
from inscene.bench.results import Results
from inscene.bench.run import REFERENCE
from inscene.errors import UsageError
from inscene.quality.registry import Metric

if TYPE_CHECKING:
    import pandas as pd


class Comparability(enum.StrEnum):
    """What a change was judged by."""

    paired = "paired"
    """The interval of the mean difference: the samples are the same."""
    unpaired = "unpaired"
    """The wider of both means' intervals: the samples differ."""
    none = "none"
    """There is no interval: of one cluster, or of a metric of sets."""


class Verdict(enum.StrEnum):
    worse = "worse"
    better = "better"
    same = "same"
    """Within its interval, or equal at displayed precision."""
    fewer_values = "fewer values"
    """Samples that had a value have none now: nothing can be said of their mean."""
    not_judged = "not judged"


@dataclass(frozen=True)
class Change:
    suite: str
    method: str
    metric: Metric
    old: float | None
    new: float | None
    interval: Interval | None
    """Of ``new - old``."""
    judged_by: Comparability
    verdict: Verdict
    detail: str = ""

    @property
    def regression(self) -> bool:
        return self.verdict in (Verdict.worse, Verdict.fewer_values)


def changes(new: Sequence[Results], old: Sequence[Results]) -> list[Change]:
    """For each suite, method and metric that both have, in the order of the new boards.

    Raises :class:`UsageError` where nothing is common to both, or where the facts say that a
    metric is not the same in both.
    """
    before = {(board.suite, line.method): (board, line) for board in boards_of(old)
              for line in board.lines}  # fmt: skip
    results_before = {(one.suite, one.method): one for one in old}
    results_now = {(one.suite, one.method): one for one in new}
    found: list[Change] = []
    common = False
    for board in boards_of(new):
        for line in board.lines:
            key = (board.suite, line.method)
            if key not in before:
                continue
            common = True
            found += _of_line(board, line, before[key], (results_now[key], results_before[key]))
    if not common:
        raise UsageError(
            "have no method on a suite in common",
            where="--against",
            why=f"New: {_names(new)}. Old: {_names(old)}.",
            next_step="Compare results of the same suite and method.",
        )
    if not found:
        raise UsageError(
            "have no metric in common", where="--against",
            next_step="Score both with the same metrics: inscene bench adds what is missing.",
        )  # fmt: skip
    return found


def only_in_one(new: Sequence[Results], old: Sequence[Results]) -> list[str]:
    """What was left out, in words."""
    ours, theirs = ({(one.suite, one.method) for one in side} for side in (new, old))
    return [
        f"{method} on {suite}: {where}"
        for side, where in ((ours - theirs, "only in the new"), (theirs - ours, "only in the old"))
        for suite, method in sorted(side)
        if method != REFERENCE
    ]


def _of_line(
    board: Board, line: Line, old: tuple[Board, Line], results: tuple[Results, Results]
) -> list[Change]:
    old_board, old_line = old
    both = {metric.key: (line.cell(metric.key), old_line.cell(metric.key))
            for metric in board.metrics if metric in old_board.metrics}  # fmt: skip
    metrics = [metric for metric in board.metrics if all(both.get(metric.key, (None,)))]
    for metric in metrics:
        require_same(*results, metric.key)
    now, then = (prepared(one.frame) for one in results)
    paired = compare(now, then, metrics)
    found = []
    for metric in metrics:
        new_cell, old_cell = both[metric.key]
        assert new_cell is not None
        assert old_cell is not None
        lost = (line.samples - new_cell.scored) > (old_line.samples - old_cell.scored)
        same_samples = _samples(now, metric) == _samples(then, metric)
        pair = paired.get(metric.key) if same_samples else None
        found.append(_change(board.suite, line.method, metric, (new_cell, old_cell), pair, lost))
    return found


def _samples(frame: pd.DataFrame, metric: Metric) -> set[tuple[str, int]]:
    rows = frame[(frame["metric"] == metric.key) & frame["value"].notna()]
    return set(zip(rows["sample_id"], rows["version"], strict=True))


def _change(
    suite: str,
    method: str,
    metric: Metric,
    cells: tuple[Cell, Cell],
    pair: Comparison | None,
    lost: bool,
) -> Change:
    now, then = cells
    interval, judged_by, detail = None, Comparability.none, ""
    if pair is not None and pair.interval is not None:
        interval, judged_by = pair.interval, Comparability.paired
    elif now.interval is not None and then.interval is not None and pair is None:
        assert now.mean is not None
        assert then.mean is not None
        reach = max(now.interval.half_width, then.interval.half_width)
        difference = now.mean - then.mean
        interval = Interval(difference - reach, difference + reach)
        judged_by = Comparability.unpaired
    verdict = _verdict(metric, now, then, interval, lost)
    if verdict is Verdict.fewer_values:
        detail = f"{then.scored} → {now.scored} samples"
    elif now.mean is None and now.unavailable is not None:
        detail = str(now.unavailable.get("reason", "not available now"))
    return Change(suite, method, metric, then.mean, now.mean, interval, judged_by, verdict, detail)


def _verdict(
    metric: Metric, now: Cell, then: Cell, interval: Interval | None, lost: bool
) -> Verdict:
    if now.unavailable is not None or then.mean is None:
        return Verdict.not_judged
    if lost or now.mean is None:
        return Verdict.fewer_values
    shown, before = displayed(metric, now.mean), displayed(metric, then.mean)
    if shown == before:
        return Verdict.same
    if interval is None:
        return Verdict.not_judged
    if interval.low <= 0 <= interval.high:
        return Verdict.same
    return Verdict.better if beats(shown, before, metric.higher_is_better) else Verdict.worse


def _names(results: Sequence[Results]) -> str:
    return ", ".join(sorted(f"{one.method} on {one.suite}" for one in results
                            if one.method != REFERENCE))  # fmt: skip
