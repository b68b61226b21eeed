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
    best = board.best(metric)
    parts = [_vertical_grid(axis, height)]
    for number, line in enumerate(lines):
        parts.append(_row(line, metric, axis, _ROW * number + _ROW / 2, line.method in best))
    summary = ", ".join(f"{one.method} {displayed(metric, _mean(one, metric))}" for one in lines)
    return (
        f"<figure><figcaption>{_titled(metric)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {height + 22}" role="img" '
        f'aria-label="{escape(f"{metric.title}: {summary}")}">{"".join(parts)}</svg></figure>'
    )


def _row(line: Line, metric: Metric, axis: Axis, y: float, best: bool) -> str:
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
        f'<g class="row{" best" if best else ""}">'
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


_W, _H, _LEFT, _TOP, _BOTTOM = 640, 340, 64, 12, 44  # px


def _time_plot(board: Board, metric: Metric) -> str:
    lines = [line for line in board.lines if line.has(metric.key) and line.restore_s]
    across = time_axis([_seconds(line) for line in lines], _LEFT, _W - 16)
    up = linear_axis(_reach(lines, metric), _H - _BOTTOM, _TOP)
    best = board.best(metric)
    parts = [_time_grid(across, up)]
    taken: list[tuple[float, float, float]] = []
    for line in sorted(lines, key=lambda one: -_mean(one, metric)):
        parts.append(_point(line, metric, across, up, line.method in best, taken))
    return (
        f"<figure><figcaption>{_titled(metric)}, seconds an image →</figcaption>"
        f'<svg viewBox="0 0 {_W} {_H}" role="img" aria-label="{escape(metric.title)} against '
        f'seconds an image">{"".join(parts)}</svg></figure>'
    )


def _point(
    line: Line,
    metric: Metric,
    across: Axis,
    up: Axis,
    best: bool,
    taken: list[tuple[float, float, float]],
) -> str:
    x, y = across.px(_seconds(line)), up.px(_mean(line, metric))
    interval = line.cells[metric.key].interval
    whisker = ""
    if interval is not None:
        ends = up.px(interval.low), up.px(interval.high)
        whisker = (
            f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{ends[0]:.1f}" '
            f'y2="{ends[1]:.1f}"/>'
        )
    name = _short(line.method)
    width = 7.0 * len(name)
    # A label at the right edge goes to the left of its point; one on another label, below it.
    left = x + 9 if x + 9 + width < _W else x - 9 - width
    text_y = y + 4
    while any(abs(text_y - other) < 14 and left < end and left + width > start
              for start, end, other in taken):  # fmt: skip
        text_y += 14
    taken.append((left, left + width, text_y))
    said = f"{line.method}: {displayed(metric, _mean(line, metric))}, {_seconds(line):.3g} s"
    return (
        f'<g class="row{" best" if best else ""}"><title>{escape(said)}</title>{whisker}'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        f'<text class="label" x="{left:.1f}" y="{text_y:.1f}">{escape(name)}</text></g>'
    )


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
