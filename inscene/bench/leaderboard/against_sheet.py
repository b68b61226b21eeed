"""Changes as sheets, CSV rows and JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inscene.bench.leaderboard.against import Change, Verdict
from inscene.bench.leaderboard.board import displayed
from inscene.bench.leaderboard.sheet import DOWN, UP, Entry, Head, Row, Section, Sheet

COLUMNS = (
    "suite", "method", "metric", "old", "new", "difference_low", "difference_high", "judged_by",
    "verdict", "detail",
)  # fmt: skip
_HEADS = ("method", "metric", "old", "new", "change", "judged by", "verdict")


def change_sheets(changes: Sequence[Change], left_out: Sequence[str]) -> list[Sheet]:
    """One a suite; ``left_out``: what is in one of the two only, in words."""
    suites = list(dict.fromkeys(change.suite for change in changes))
    return [
        _sheet(suite, [change for change in changes if change.suite == suite], left_out)
        for suite in suites
    ]


def _sheet(suite: str, changes: Sequence[Change], left_out: Sequence[str]) -> Sheet:
    methods = list(dict.fromkeys(change.method for change in changes))
    sections = tuple(
        Section(tuple(Row(method, _entries(one)) for one in changes if one.method == method))
        for method in methods
    )
    regressions = sum(change.regression for change in changes)
    return Sheet(
        title=f"{suite}: new against old",
        heads=tuple(Head(title) for title in _HEADS),
        sections=sections,
        remarks=(
            f"{regressions} regression{'' if regressions == 1 else 's'} among {len(changes)}.",
            "[…] 95 % interval of the change: of the mean difference where the samples are the "
            "same (paired), else the change and the wider of both means' intervals (unpaired).",
            "A change counts where it is seen at displayed precision and its interval leaves out "
            "zero.",
            *(f"Not compared: {one}." for one in left_out),
        ),
    )


def _entries(change: Change) -> tuple[Entry, ...]:
    metric = change.metric
    arrow = UP if metric.higher_is_better else DOWN
    difference, detail = "", ""
    if change.old is not None and change.new is not None:
        value = change.new - change.old
        difference = _signed(change, value)
        if change.interval is not None:
            low, high = change.interval.low, change.interval.high
            detail = f"[{_signed(change, low)}, {_signed(change, high)}]"
    verdict = change.verdict.upper() if change.regression else str(change.verdict)
    return (
        Entry(f"{metric.title} {arrow}"),
        _value(change, change.old),
        _value(change, change.new),
        Entry(difference, detail),
        Entry("–" if change.verdict is Verdict.not_judged else str(change.judged_by)),
        Entry(verdict, change.detail),
    )


def _value(change: Change, value: float | None) -> Entry:
    if value is None:
        return Entry("n/a")
    return Entry(displayed(change.metric, value), number=value)


def _signed(change: Change, value: float) -> str:
    text = displayed(change.metric, value)
    return text if text.startswith("-") or not text.strip("0.") else f"+{text}"


def change_record(change: Change) -> dict[str, Any]:
    return {
        "suite": change.suite,
        "method": change.method,
        "metric": change.metric.key,
        "old": change.old,
        "new": change.new,
        "difference_low": change.interval.low if change.interval else None,
        "difference_high": change.interval.high if change.interval else None,
        "judged_by": str(change.judged_by),
        "verdict": str(change.verdict),
        "detail": change.detail,
    }
