"""Plots as inline SVG: means with their intervals; quality against time."""

from __future__ import annotations

from html import escape

from inscene.bench.leaderboard.board import Board, Line, displayed
from inscene.bench.leaderboard.html.axes import Axis, linear_axis, tick_text, time_axis
from inscene.quality.registry import Metric

_WIDTH, _ROW, _LABELS, _RIGHT = 420, 26, 128, 70  # px
_NAME_CHARACTERS = 19


def interval_plots(board: Board) -> str:
    """One for each metric that any method has: the bar is the interval, the dot the mean. The axis
    does not begin at zero, so nothing is drawn from its start."""
    plots = [
        _interval_plot(board, metric)
        for metric in board.metrics
        if any(line.has(metric.key) for line in board.lines)
    ]
    if not plots:
        return ""
    return f'<h3>Means and 95 % intervals</h3><div class="plots">{"".join(plots)}</div>'


def _interval_plot(board: Board, metric: Metric) -> str:
    lines = [line for line in board.lines if line.has(metric.key)]
    lines.sort(key=lambda line: _mean(line, metric), reverse=metric.higher_is_better)
    axis = linear_axis(_reach(lines, metric), _LABELS, _WIDTH - _RIGHT)
    height = _ROW * len(lines)
    parts = [_vertical_grid(axis, height)]
    for number, line in enumerate(lines):
        kind = _kind(board, line, metric)
        parts.append(_row(line, metric, axis, _ROW * number + _ROW / 2, kind))
    summary = ", ".join(f"{one.method} {displayed(metric, _mean(one, metric))}" for one in lines)
    return (
        f"<figure><figcaption>{_titled(metric)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {height + 22}" role="img" '
        f'aria-label="{escape(f"{metric.title}: {summary}")}">{"".join(parts)}</svg></figure>'
    )


def _row(line: Line, metric: Metric, axis: Axis, y: float, kind: str) -> str:
    mean = _mean(line, metric)
    interval = line.cells[metric.key].interval
    text = displayed(metric, mean)
    said = text
    bar = ""
    if interval is not None:
        left, right = axis.px(interval.low), axis.px(interval.high)
        width = max(right - left, 1.0)
        bar = f'<rect class="bar" x="{left:.1f}" y="{y - 5:.1f}" width="{width:.1f}" height="10"/>'
        ends = (displayed(metric, interval.low), displayed(metric, interval.high))
        said += f" [{ends[0]}, {ends[1]}]"
    return (
        f'<g class="{kind}">'
        f"<title>{escape(f'{line.method}: {said}')}</title>"
        f'<text class="name" x="{_LABELS - 10}" y="{y + 4:.1f}">{escape(_short(line.method))}'
        f'</text>{bar}<circle cx="{axis.px(mean):.1f}" cy="{y:.1f}" r="4"/>'
        f'<text class="value" x="{_WIDTH - 2}" y="{y + 4:.1f}">{text}</text></g>'
    )


def time_plots(board: Board, name: str) -> str:
    """One for each metric, of which a list chooses; seconds are drawn on a logarithmic axis."""
    metrics = [
        metric
        for metric in board.metrics
        if sum(line.has(metric.key) and bool(line.restore_s) for line in board.lines) > 1
    ]
    if not metrics:
        return ""
    plots = [
        f'<div class="choice" data-of="{metric.key}"{" hidden" if number else ""}>'
        f"{_time_plot(board, metric)}</div>"
        for number, metric in enumerate(metrics)
    ]
    options = "".join(f'<option value="{metric.key}">{escape(metric.title)}</option>'
                      for metric in metrics)  # fmt: skip
    return (
        f'<h3>Quality against time</h3><p class="pick"><label for="{name}">Metric</label> '
        f'<select id="{name}" data-chooses="{name}-plots">{options}</select></p>'
        f'<div class="timeplots" id="{name}-plots">{"".join(plots)}</div>'
    )


_W, _H, _LEFT, _TOP, _BOTTOM = 500, 360, 56, 12, 50  # px
_LETTER, _LINE = 6.8, 14  # px, about

_Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def _time_plot(board: Board, metric: Metric) -> str:
    lines = [line for line in board.lines if line.has(metric.key) and line.restore_s]
    across = time_axis([_seconds(line) for line in lines], _LEFT, _W - 16)
    up = linear_axis(_reach(lines, metric), _H - _BOTTOM, _TOP)
    places = [(across.px(_seconds(line)), up.px(_mean(line, metric))) for line in lines]
    taken: list[_Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    points = [
        _point(board, line, metric, up, place, taken)
        for line, place in zip(lines, places, strict=True)
    ]
    return (
        f"<figure><figcaption>{_titled(metric)}</figcaption>"
        f'<svg viewBox="0 0 {_W} {_H}" role="img" aria-label="{escape(metric.title)} against '
        f'seconds an image">{_time_grid(across, up)}{"".join(points)}'
        f'<text class="axis" x="{(_LEFT + _W) / 2}" y="{_H - 4}">seconds an image</text>'
        "</svg></figure>"
    )


def _point(
    board: Board,
    line: Line,
    metric: Metric,
    up: Axis,
    place: tuple[float, float],
    taken: list[_Box],
) -> str:
    x, y = place
    interval = line.cells[metric.key].interval
    whisker = ""
    if interval is not None:
        ends = up.px(interval.low), up.px(interval.high)
        whisker = (
            f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{ends[0]:.1f}" '
            f'y2="{ends[1]:.1f}"/>'
        )
    left, base = _label_place(x, y, _LETTER * len(_short(line.method)), taken)
    said = f"{line.method}: {displayed(metric, _mean(line, metric))}, {_seconds(line):.3g} s"
    return (
        f'<g class="{_kind(board, line, metric)}"><title>{escape(said)}</title>{whisker}'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        f'<text class="label" x="{left:.1f}" y="{base:.1f}">{escape(_short(line.method))}</text>'
        "</g>"
    )


def _label_place(x: float, y: float, width: float, taken: list[_Box]) -> tuple[float, float]:
    """Left end and base line of a label: the nearest free place beside its point."""
    candidates = [
        (left, y + 4 + shift)
        for distance in range(8)
        for shift in sorted({-_LINE * distance, _LINE * distance})
        for left in (x + 9, x - 9 - width)
        if left > _LEFT and left + width < _W and _TOP < y + shift < _H - _BOTTOM
    ] or [(x + 9, y + 4)]
    boxes = [(left, base - 11, left + width, base + 3) for left, base in candidates]
    free = [place for place, box in enumerate(boxes) if not any(_meet(box, t) for t in taken)]
    chosen = free[0] if free else 0
    taken.append(boxes[chosen])
    return candidates[chosen]


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _kind(board: Board, line: Line, metric: Metric) -> str:
    """Means of fewer samples are hollow: they are not ranked."""
    if not board.complete(line, metric.key):
        return "row incomplete"
    return "row best" if line.method in board.best(metric) else "row"


def _vertical_grid(axis: Axis, height: float) -> str:
    return "".join(
        f'<line class="grid" x1="{axis.px(tick):.1f}" x2="{axis.px(tick):.1f}" y1="0" '
        f'y2="{height}"/><text class="tick" x="{axis.px(tick):.1f}" y="{height + 15}">'
        f"{tick_text(tick)}</text>"
        for tick in axis.ticks(3)
    )


def _time_grid(across: Axis, up: Axis) -> str:
    bottom = _H - _BOTTOM
    vertical = "".join(
        f'<line class="grid" x1="{across.px(tick):.1f}" x2="{across.px(tick):.1f}" y1="{_TOP}" '
        f'y2="{bottom}"/><text class="tick" x="{across.px(tick):.1f}" y="{bottom + 18}">'
        f"{tick_text(tick)} s</text>"
        for tick in across.ticks()
    )
    horizontal = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_W - 16}" y1="{up.px(tick):.1f}" '
        f'y2="{up.px(tick):.1f}"/><text class="name" x="{_LEFT - 8}" y="{up.px(tick) + 4:.1f}">'
        f"{tick_text(tick)}</text>"
        for tick in up.ticks()
    )
    return vertical + horizontal


def _titled(metric: Metric) -> str:
    better = "higher" if metric.higher_is_better else "lower"
    return f"{escape(metric.title)} <span>{better} is better</span>"


def _mean(line: Line, metric: Metric) -> float:
    mean = line.cells[metric.key].mean
    assert mean is not None
    return mean


def _seconds(line: Line) -> float:
    assert line.restore_s is not None
    return line.restore_s


def _reach(lines: list[Line], metric: Metric) -> list[float]:
    values = [_mean(line, metric) for line in lines]
    intervals = [line.cells[metric.key].interval for line in lines]
    return values + [end for one in intervals if one for end in (one.low, one.high)]


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"
