"""From results to boards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from inscene.bench.leaderboard.board import Board, Cell, Line
from inscene.bench.leaderboard.definitions import definition, require_same
from inscene.bench.leaderboard.intervals import Interval, bootstrap_means, cluster_labels
from inscene.bench.leaderboard.paired import compare
from inscene.bench.leaderboard.set_metrics import set_values
from inscene.bench.results import Results, load_results
from inscene.bench.run import REFERENCE
from inscene.errors import UsageError
from inscene.quality.registry import METRICS, Metric
from inscene.suggest import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

By = Literal["identity"]


def load_boards(
    locations: Sequence[str], *, by: By | None = None, baseline: str | None = None
) -> list[Board]:
    """The boards of some results folders. Raises as :func:`load_results` and :func:`boards_of`."""
    return boards_of(load_results(locations), by=by, baseline=baseline)


def boards_of(
    results: Sequence[Results], *, by: By | None = None, baseline: str | None = None
) -> list[Board]:
    """A board for each suite, or for each person in it; lines by their first metric, best first.

    Raises :class:`UsageError` where no method has a value, where the methods of a suite were
    scored by different definitions of a metric, and for a baseline that no suite has.
    """
    methods = [one for one in results if one.method != REFERENCE]
    if not methods:
        raise UsageError("hold no method's results, only the clean images' side of some metrics")
    known = {one.method for one in methods}
    if baseline is not None and baseline not in known:
        raise UsageError(
            f"no results of {baseline!r}", where="--baseline",
            next_step=did_you_mean(baseline, known),
        )  # fmt: skip
    boards = []
    for suite in sorted({one.suite for one in methods}):
        of_suite = sorted((one for one in methods if one.suite == suite), key=lambda x: x.method)
        clean = [one for one in results if one.suite == suite and one.method == REFERENCE]
        boards += _boards(of_suite, clean[0] if clean else None, by, baseline)
    return boards


def _boards(
    results: Sequence[Results], clean: Results | None, by: By | None, baseline: str | None
) -> list[Board]:
    suite = results[0].suite
    present = {key for one in results for key in {*one.frame["metric"], *one.unavailable}}
    metrics = tuple(metric for key, metric in METRICS.items() if key in present)
    if not metrics:
        raise UsageError("no method has a value: every sample failed", where=suite)
    for metric in metrics:
        telling = [one for one in results if definition(one, metric.key)]
        for one in telling[1:]:
            require_same(telling[0], one, metric.key)
    if by is None:
        return [_board(results, clean, metrics, None, baseline)]
    people = sorted({str(name) for one in results for name in one.frame["identity"].dropna()})
    if not people:
        raise UsageError(
            "names no identities", where=suite,
            next_step="Leave --by out, or measure on pairs whose identity column is filled.",
        )  # fmt: skip
    of_images = tuple(metric for metric in metrics if metric.of == "image")
    return [_board(_of_person(results, name), None, of_images, name, baseline) for name in people]


def _of_person(results: Sequence[Results], name: str) -> list[Results]:
    """Samples that failed name nobody: a person has those that any method has."""
    frames = [one.frame[one.frame["identity"] == name] for one in results]
    samples = {
        key for frame in frames for key in zip(frame["sample_id"], frame["version"], strict=True)
    }
    return [
        replace(one, frame=frame, samples=len(samples), failures={})
        for one, frame in zip(results, frames, strict=True)
    ]


def _board(
    results: Sequence[Results],
    clean: Results | None,
    metrics: tuple[Metric, ...],
    person: str | None,
    baseline: str | None,
) -> Board:
    frames = {one.method: prepared(one.frame, person is not None) for one in results}
    lines = []
    for one in results:
        frame = frames[one.method]
        line = Line(
            method=one.method,
            samples=one.samples,
            cells=_cells(one, frame, metrics, clean),
            restore_s=_median_seconds(frame),
            failures=one.failures,
            facts=one.facts,
        )
        if baseline in frames and one.method != baseline:
            line = replace(line, against_baseline=compare(frame, frames[baseline], metrics))
        lines.append(line)
    labels = {label for frame in frames.values() for label in frame["cluster"]}
    return Board(
        suite=results[0].suite,
        metrics=metrics,
        lines=tuple(_best_first(lines, metrics)),
        clusters=len(labels),
        clusters_are=_kinds(labels),
        identity=person,
        baseline=baseline if baseline in frames else None,
    )


def prepared(frame: pd.DataFrame, within_identity: bool = False) -> pd.DataFrame:
    """With values as numbers and a column ``cluster``."""
    import pandas as pd

    return frame.assign(
        value=pd.to_numeric(frame["value"], errors="coerce"),
        cluster=cluster_labels(frame, within_identity),
    )


def _median_seconds(frame: pd.DataFrame) -> float | None:
    seconds = frame.drop_duplicates(["sample_id", "version"])["restore_s"].dropna()
    return float(seconds.median()) if len(seconds) else None


def _cells(
    results: Results, frame: pd.DataFrame, metrics: Sequence[Metric], clean: Results | None
) -> dict[str, Cell]:
    intervals = _intervals(frame[frame["value"].notna()])
    cells = {}
    for metric in metrics:
        rows = frame[frame["metric"] == metric.key]
        unavailable = results.unavailable.get(metric.key)
        if metric.of == "set" and len(rows) and rows["features"].notna().any():
            cells[metric.key] = set_values(rows, clean)
            continue
        good = rows["value"].notna()
        if not good.any() and unavailable is not None:
            cells[metric.key] = Cell(None, 0, unavailable=unavailable)
        elif len(rows):
            cells[metric.key] = Cell(
                mean=float(rows["value"].mean()) if good.any() else None,
                scored=int(good.sum()),
                interval=intervals.get(metric.key),
                missing={str(k): int(n) for k, n in rows["status"][~good].value_counts().items()},
            )
    return cells


def _intervals(rows: pd.DataFrame) -> dict[str, Interval | None]:
    if rows.empty:
        return {}
    grouped = rows.groupby(["cluster", "metric"])["value"].agg(["sum", "count"])
    sums = grouped["sum"].unstack(fill_value=0)
    counts = grouped["count"].unstack(fill_value=0).to_numpy(dtype=np.float64)
    return dict(
        zip(sums.columns, bootstrap_means(sums.to_numpy(dtype=np.float64), counts), strict=True)
    )


def _kinds(labels: set[str]) -> str:
    kinds = {label.split(" ", 1)[0] for label in labels}
    return {"identity": "identities", "sample": "samples"}[kinds.pop()] if len(kinds) == 1 else (
        "identities and samples"
    )  # fmt: skip


def _best_first(lines: Sequence[Line], metrics: Sequence[Metric]) -> list[Line]:
    """By the first metric that any line has; lines without it are behind them, oracles last."""
    first = next((one for one in metrics if any(line.has(one.key) for line in lines)), None)

    def place(line: Line) -> tuple[bool, float, str]:
        mean = line.cells[first.key].mean if first and first.key in line.cells else None
        if first is None or mean is None:
            return (line.is_oracle, float("inf"), line.method)
        return (line.is_oracle, -mean if first.higher_is_better else mean, line.method)

    return sorted(lines, key=place)
