"""Charts: the funnel, histograms, counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np

from inscene.bench.leaderboard.html.axes import Axis, tick_text
from inscene.dataset.distribution import Numbers
from inscene.dataset.funnel import Funnel, Loss
from inscene.inspection.histogram import Histogram, Values
from inscene.inspection.limits import Limit
from inscene.inspection.report import Measure
from inscene.inspection.words import count, number, plain, share, step_word

WIDTH, HEIGHT = 340.0, 158.0
"""Of a histogram; the page scales it."""
_LEFT, _RIGHT, _BOTTOM, _LABEL = 4.0, 336.0, 132.0, 17.0
MOST_BARS = 12


# --- the funnel ----------------------------------------------------------------------------------


def anchor(step: str, kind: str, reason: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in f"{kind}-{step}-{reason}")


def funnel_chart(found: Funnel, steps: Sequence[str]) -> str:
    """A bar for each step: what it left, and what it took."""
    total = found.inputs
    lines = [_stage("inputs", total, 0, total)]
    left = total - found.unfinished
    if found.unfinished:
        lines.append(_stage("not done yet", left, found.unfinished, total, waiting=True))
    by_step: dict[str, list[Loss]] = {"read": []}
    by_step |= {step: [] for step in steps}
    for loss in found.losses:
        by_step.setdefault(loss.step, []).append(loss)
    for step, losses in by_step.items():
        if step == "read" and not losses:
            continue
        lost = sum(loss.count for loss in losses)
        left -= lost
        lines.append(_stage(step, left, lost, total, losses))
    rows = f", as {count(found.rows)} rows" if found.rows != found.kept else ""
    end = (
        f'<li class="end"><span class="stage">kept</span><span class="of"><strong>'
        f"{count(found.kept)}</strong> of {count(total)} ({share(found.kept, total)}){rows}"
        f"</span></li>"
    )
    return f'<ol class="funnel">{"".join(lines)}{end}</ol>'


def _stage(
    name: str, left: int, lost: int, total: int, losses: Sequence[Loss] = (), waiting: bool = False
) -> str:
    links = "".join(_reason(loss, total) for loss in losses)
    reasons = f'<ul class="reasons">{links}</ul>' if links else ""
    taken = f'<span class="minus">−{count(lost)}</span>' if lost else ""
    kind = "waiting" if waiting else "lost"
    return (
        f'<li><span class="stage">{escape(step_word(name))}</span>'
        f'<span class="bar" aria-hidden="true"><i class="left" style="width:{_width(left, total)}">'
        f'</i><i class="{kind}" style="width:{_width(lost, total)}"></i></span>'
        f'<span class="number">{count(left)}<span class="unseen"> left</span>{taken}</span>'
        f"{reasons}</li>"
    )


def _reason(loss: Loss, total: int) -> str:
    mark = ' <span class="error">error</span>' if loss.kind == "error" else ""
    return (
        f'<li><a href="#{anchor(loss.step, loss.kind, loss.reason)}">{escape(plain(loss.reason))}'
        f"</a>{mark} {count(loss.count)} <small>{share(loss.count, total)}</small></li>"
    )


def _width(part: int, whole: int) -> str:
    """Something that is there is to be seen."""
    if not part or not whole:
        return "0"
    return f"max(2px, {100 * part / whole:.3f}%)"


# --- histograms ----------------------------------------------------------------------------------


def measure_figure(measure: Measure) -> str:
    bins = measure.bins
    notes = "".join(f"<li>{_limit_note(limit, measure)}</li>" for limit in measure.limits)
    about = f" <span>{escape(measure.about)}</span>" if measure.about else ""
    return (
        f"<figure><figcaption>{escape(measure.title)}{about}</figcaption>"
        f"{_svg(bins, measure.limits, _said(measure))}"
        f'<ul class="notes">{notes}<li>{_figures(measure)}</li></ul></figure>'
    )


def numbers_figure(name: str, numbers: Numbers) -> str:
    """Of a distribution that is binned already."""
    none = (0,) * len(numbers.counts)
    bins = Histogram(numbers.edges, numbers.counts, none, logarithmic=False)
    said = f"{number(numbers.min)} to {number(numbers.max)}, median {number(numbers.median)}"
    return (
        f"<figure><figcaption>{escape(name)}</figcaption>{_svg(bins, (), f'{name}: {said}')}"
        f'<ul class="notes"><li>{count(numbers.count)} values, {said}</li></ul></figure>'
    )


def _limit_note(limit: Limit, measure: Measure) -> str:
    sign, beyond = ("at most", "above") if limit.most else ("at least", "below")
    text = f"{sign} {number(limit.value)} <code>{escape(limit.key)}</code>"
    if len(measure.refused):
        out = _outside(measure.refused, limit)
        text += f", {count(out)} of the {count(len(measure.refused))} dropped are {beyond}"
    if out := _outside(measure.kept, limit):  # a step that lets some pass whatever their score
        text += f", {count(out)} of the kept too"
    return f'<span class="rule" aria-hidden="true"></span>{text}'


def _outside(values: Values, limit: Limit) -> int:
    wrong = values > limit.value if limit.most else values < limit.value
    return int(np.count_nonzero(wrong))


def _figures(measure: Measure) -> str:
    parts = []
    for word, values in (("kept", measure.kept), ("dropped", measure.refused)):
        if len(values):
            parts.append(
                f'<span class="key {word}">{word} {count(len(values))}: median '
                f"{number(float(np.median(values)))}, {number(float(values.min()))} to "
                f"{number(float(values.max()))}</span>"
            )
    return " ".join(parts)


def _said(measure: Measure) -> str:
    """For those who do not see the chart."""
    parts = [f"Histogram of {measure.title}."]
    for word, values in (("kept", measure.kept), ("dropped", measure.refused)):
        if len(values):
            low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
            parts.append(
                f"{len(values)} {word}: nine tenths above {number(float(low))}, half above "
                f"{number(float(middle))}, a tenth above {number(float(high))}."
            )
    parts += [
        f"Threshold: {'at most' if one.most else 'at least'} {number(one.value)}."
        for one in measure.limits
    ]
    return " ".join(parts)


def _svg(bins: Histogram, limits: Sequence[Limit], said: str) -> str:
    top = 10.0 + _LABEL * len(limits)
    height = HEIGHT + _LABEL * max(0, len(limits) - 1)
    bottom = height - (HEIGHT - _BOTTOM)
    axis = _axis(bins)
    inner = [*_bars(bins, axis, top, bottom), *_ticks(axis, bottom)]
    for place, limit in enumerate(sorted(limits, key=lambda one: one.value)):
        x = axis.px(bins.side(limit.value, most=limit.most))
        inner += _limit_line(limit, x, 12.0 + _LABEL * place, bottom)
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="{escape(said)}">'
        f"{''.join(inner)}</svg>"
    )


def _axis(bins: Histogram) -> Axis:
    low, high = bins.edges[0], bins.edges[-1]
    if low == high:
        room = abs(low) * 0.05 or 0.5
        low, high = low - room, high + room
    return Axis(low, high, _LEFT, _RIGHT, bins.logarithmic)


def _bars(bins: Histogram, axis: Axis, top: float, bottom: float) -> Iterator[str]:
    most = max(a + b for a, b in zip(bins.kept, bins.dropped, strict=True)) or 1
    edges = bins.edges
    for place, (low, high) in enumerate(itertools.pairwise(edges)):
        kept, dropped = bins.kept[place], bins.dropped[place]
        if not kept + dropped:
            continue
        left, right = (
            (axis.px(low), axis.px(high)) if low < high else (WIDTH / 2 - 8, WIDTH / 2 + 8)
        )
        gap = min(1.0, (right - left) / 5)
        at = bottom
        parts = []
        for word, size in (("kept", kept), ("dropped", dropped)):
            if size:
                tall = max(1.5, size / most * (bottom - top))
                at -= tall
                parts.append(
                    f'<rect class="{word}" x="{left + gap / 2:.2f}" y="{at:.2f}" '
                    f'width="{right - left - gap:.2f}" height="{tall:.2f}"/>'
                )
        tip = f"{number(low)} to {number(high)}: {kept} kept"
        tip += f", {dropped} dropped" if dropped else ""
        yield f"<g><title>{escape(tip)}</title>{''.join(parts)}</g>"


def _ticks(axis: Axis, bottom: float) -> Iterator[str]:
    yield f'<line class="base" x1="{_LEFT}" x2="{_RIGHT}" y1="{bottom}" y2="{bottom}"/>'
    shown, last = axis.ticks(5), -math.inf
    for tick in shown:
        x, text = axis.px(tick), tick_text(tick)
        half = 3.6 * len(text)
        x_text = min(max(x, half), WIDTH - half)
        if x_text - half < last + 6:
            continue
        last = x_text + half
        yield f'<line class="base" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>'
        yield f'<text class="tick" x="{x_text:.1f}" y="{bottom + 18}">{text}</text>'


def _limit_line(limit: Limit, x: float, y: float, bottom: float) -> Iterator[str]:
    sign = "≤" if limit.most else "≥"
    text = f"{sign} {number(limit.value)}"
    after = x < WIDTH * 0.7
    yield f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 10:.1f}" y2="{bottom}"/>'
    yield (
        f'<text class="limit" x="{x + (5 if after else -5):.1f}" y="{y:.1f}" '
        f'text-anchor="{"start" if after else "end"}">{escape(text)}</text>'
    )


# --- counts --------------------------------------------------------------------------------------


def count_bars(
    counts: Mapping[str, int], refused: Mapping[str, int] | None = None, most: int = MOST_BARS
) -> str:
    """The most frequent words; ``refused`` of the same words is drawn behind."""
    lost = refused or {}
    shown = list(counts)[: most if len(counts) > most + 1 else most + 1]
    rest = len(counts) - len(shown)
    largest = max(counts[word] + lost.get(word, 0) for word in shown)
    total = sum(counts.values())
    lines = []
    for word in shown:
        taken = lost.get(word, 0)
        behind = f' <span class="minus">−{count(taken)}</span>' if taken else ""
        side = f" <small>{share(counts[word], total)}</small>" if not lost else ""
        lines.append(
            f'<li><span class="word" title="{escape(word)}">{escape(word)}</span>'
            f'<span class="bar" aria-hidden="true">'
            f'<i class="left" style="width:{_width(counts[word], largest)}"></i>'
            f'<i class="lost" style="width:{_width(taken, largest)}"></i></span>'
            f'<span class="number">{count(counts[word])}{side}{behind}</span></li>'
        )
    if rest:
        others = total - sum(counts[word] for word in shown)
        lines.append(f'<li class="rest">{count(rest)} others: {count(others)}</li>')
    return f'<ul class="counts">{"".join(lines)}</ul>'
