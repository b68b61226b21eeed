"""The page: all that a report says, in one file.

It loads nothing: its security policy forbids a browser to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from inscene import __version__
from inscene.inspection.html.charts import (
    MOST_BARS,
    anchor,
    count_bars,
    funnel_chart,
    measure_figure,
    numbers_figure,
)
from inscene.inspection.html.sheets import sheet
from inscene.inspection.report import RefusedSheet, Report
from inscene.inspection.words import SCORE_WORDS, count, number, share, step_word
from inscene.inspection.words import title as word_title
from inscene.synthetic.tags.cloud import TagCounts

_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
_COUNT_TITLES = {
    "split": "Splits", "source": "Sources", "suite": "Suites", "method": "Methods",
    "metric": "Metrics", "status": "Status", "licence": "Licences", "consent": "Consent",
    "camera.iso": "ISO", "camera.make": "Camera makes", "camera.model": "Camera models",
}  # fmt: skip
_MOST_TAGS = 150
_MOST_PEOPLE = 24

Section = tuple[str, str, str]
"""Anchor, title, HTML."""


def page(report: Report) -> str:
    sections = list(_sections(report))
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title, _ in sections)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">'
        f"{escape(title)}</h2>{inner}</section>\n"
        for name, title, inner in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(report.name)}: {escape(report.found.survey.kind)}</title>
<style>
{_asset("page.css")}</style>
</head>
<body>
{_head(report)}
<nav aria-label="On this page">{links}</nav>
<main>
{body}</main>
<footer>Written by inscene {escape(__version__)}. Everything is in this one file; it loads nothing.
</footer>
{_DIALOG}
<script>
{_asset("page.js")}</script>
</body>
</html>
"""


_DIALOG = """<dialog aria-labelledby="large-title"><div class="large-bar">
<h2 id="large-title"></h2><span class="large-place"></span>
<button type="button" data-go="-1" aria-label="Previous (left arrow)">←</button>
<button type="button" data-go="1" aria-label="Next (right arrow)">→</button>
<button type="button" data-close aria-label="Close (Escape)">×</button></div>
<div class="large"></div><dl></dl></dialog>"""


def _asset(name: str) -> str:
    return (files("inscene.inspection.html") / name).read_text("utf-8")


# --- the head ------------------------------------------------------------------------------------


def _head(report: Report) -> str:
    survey = report.found.survey
    recipe = report.fingerprint.get("name")
    made = f" made by the recipe <b>{escape(str(recipe))}</b>" if recipe else ""
    notice = ""
    if survey.unfinished:
        shards = "shard is" if survey.unfinished == 1 else "shards are"
        notice = (
            f'<p class="notice"><strong>Unfinished.</strong> {count(survey.unfinished)} {shards} '
            f"still to do; what is in them is not on this page.</p>"
        )
    elif report.funnel is not None and report.funnel.closing:
        steps = ", ".join(map(step_word, report.funnel.closing))
        notice = (
            f'<p class="notice"><strong>Unfinished.</strong> Still to do over the whole table: '
            f"{escape(steps)}.</p>"
        )
    cards = "".join(
        f'<div class="{"long" if len(small) > 10 else "short"}"><dt>{escape(title)}</dt><dd>{value}'
        f"{f'<small>{small}</small>' if small else ''}</dd></div>"
        for title, value, small in _cards(report)
    )
    return (
        f"<header><h1>{escape(report.name)}</h1>"
        f'<p class="about">{escape(survey.kind.capitalize())}{made}</p>{notice}'
        f'<dl class="cards">{cards}</dl></header>'
    )


def _cards(report: Report) -> Iterator[tuple[str, str, str]]:
    survey, funnel = report.found.survey, report.funnel
    if funnel is not None:
        dropped = sum(loss.count for loss in funnel.losses if loss.kind == "drop")
        errors = sum(loss.count for loss in funnel.losses if loss.kind == "error")
        yield "inputs", count(funnel.inputs), ""
        yield "kept", count(funnel.kept), share(funnel.kept, funnel.inputs)
        yield "dropped", count(dropped), share(dropped, funnel.inputs) if dropped else ""
        yield "errors", count(errors), share(errors, funnel.inputs) if errors else ""
    if funnel is None or survey.rows != funnel.kept:
        yield "rows", count(survey.rows), ""
    if survey.samples != survey.rows:
        yield "samples", count(survey.samples), ""
    if report.found.people:
        yield "people", count(len(report.found.people)), ""
    if survey.sizes:
        first = next(iter(survey.sizes))
        others = len(survey.sizes) - 1
        more = f"and {count(others)} other sizes" if others > 1 else "and one other size"
        yield "size, px", escape(first), more if others else ""


# --- the sections --------------------------------------------------------------------------------


def _sections(report: Report) -> Iterator[Section]:
    if report.funnel is not None:
        yield "funnel", "Where the inputs went", funnel_chart(report.funnel, report.steps)
    if report.measures:
        figures = "".join(map(measure_figure, report.measures))
        only_sizes = all(one.name in ("width", "height") for one in report.measures)
        title = "Sizes" if only_sizes else "Scores"
        yield "scores", title, f'{_what_if(report)}<div class="plots">{figures}</div>'
    if report.kept:
        yield "kept", "Kept", _kept(report)
    if report.refused:
        yield "dropped", "Dropped", "".join(map(_refused, report.refused))
    if report.found.people:
        yield "people", "People", _people(report)
    if report.tags is not None:
        yield "tags", "Tags", _cloud(report.tags)
    if counts := _counts(report):
        yield "counts", "What it holds", counts
    if report.drawn:
        figures = "".join(numbers_figure(name, values) for name, values in report.drawn.items())
        yield "drawn", "What was drawn", f'<div class="plots small">{figures}</div>'
    if report.fingerprint:
        yield "recipe", "How it was made", _recipe(report)


def _what_if(report: Report) -> str:
    limits = [limit for measure in report.measures for limit in measure.limits]
    if not limits:
        return ""
    # Some value that is another one, of the score that readers know best.
    one = next((limit for limit in limits if limit.score == "musiq"), limits[-1])
    other = number(float(f"{one.value * 1.1:.2g}") if one.value else 1)
    command = f"inscene funnel {report.name} --set {one.key}={other}"
    return (
        '<p class="about">The dashed lines are the thresholds of the run. What others would have '
        f"kept is told from the stored scores, with no model: <code>{escape(command)}</code></p>"
    )


def _kept(report: Report) -> str:
    rows = report.found.survey.rows
    scores = [measure.name for measure in report.measures if len(measure.kept)]
    ranked = [name for name in scores if any(name in one.scores for one in report.kept)]
    which = "all of them" if len(report.kept) == rows else f"{len(report.kept)} of {count(rows)}, "
    which += "" if len(report.kept) == rows else "evenly spread"
    controls = ""
    if ranked:
        options = "".join(
            f'<option value="{name.replace("_", "-")}|{way}">'
            f"{escape(SCORE_WORDS.get(name, (name, ''))[0])}, {word} first</option>"
            for name in ranked
            for way, word in ((1, "lowest"), (-1, "highest"))
        )
        controls += (
            f'<label class="control">Order <select data-sorts="kept-sheet"><option value="">as '
            f"stored</option>{options}</select></label>"
        )
    if any(shot.box for picture in report.kept for shot in picture.shots):
        controls += (
            '<label class="control"><input type="checkbox" data-faces> Show face boxes</label>'
        )
    told = [name for name in ranked if name in ("musiq", "identity")] or ranked[:1]
    return (
        f'<div class="tools"><p class="about">{which}</p>{controls}</div>'
        f"{sheet(report.kept, 'kept-sheet', told)}"
    )


def _refused(one: RefusedSheet) -> str:
    step, kind, reason = one.why
    name = anchor(step, kind, reason)
    shown = len(one.pictures)
    some = f", {shown} of them evenly spread" if shown < one.count else ""
    mark = ' <span class="error">error</span>' if kind == "error" else ""
    return (
        f'<article id="{name}" aria-labelledby="{name}-title"><h3 id="{name}-title">'
        f"{escape(word_title(reason))}{mark}</h3>"
        f'<p class="about">{count(one.count)} at the step {escape(step_word(step))}{some}</p>'
        f"{sheet(one.pictures, f'{name}-sheet')}</article>"
    )


def _people(report: Report) -> str:
    people, lost = report.found.people, report.refused_people
    sizes = sorted(people.values())
    middle = sizes[len(sizes) // 2]
    spread = (
        f"{count(sizes[0])} each"
        if sizes[0] == sizes[-1]
        else f"{count(sizes[0])} to {count(sizes[-1])} each, half have {count(middle)} or more"
    )
    none = [name for name in lost if name not in people]
    gone = f" {count(len(none))} more have none left." if none else ""
    shown = {**people, **dict.fromkeys(none, 0)}
    noun = "person has" if len(people) == 1 else "people have"
    return (
        f'<p class="about">{count(len(people))} {noun} {count(sum(sizes))} samples: {spread}.{gone}'
        f"</p>{count_bars(shown, lost, _MOST_PEOPLE)}"
    )


def _cloud(tags: TagCounts) -> str:
    """By name: large and small words are mixed, and one can look a word up."""
    shown = dict(list(tags.counts.items())[:_MOST_TAGS])
    most = max(shown.values())
    words = "".join(
        f'<li style="--size:{(number_of / most) ** 0.5:.3f}" title="{count(number_of)} images">'
        f'{escape(tag)}<span class="unseen"> {count(number_of)} images</span></li>'
        for tag, number_of in sorted(shown.items())
    )
    some = f", the {len(shown)} most frequent here" if len(shown) < len(tags.counts) else ""
    untagged = f" {count(tags.untagged)} images have none." if tags.untagged else ""
    return (
        f'<p class="about">{count(len(tags.counts))} tags of {count(tags.images)} images{some}. A '
        f"word is as large as it is frequent.{untagged}</p>"
        f'<ul class="cloud">{words}</ul>'
    )


def _counts(report: Report) -> str:
    survey = report.found.survey
    every = {**survey.counts}
    # Of many sizes, the histograms of width and height tell more.
    if len(survey.sizes) == 1 or len(survey.sizes) <= min(MOST_BARS, survey.samples // 2):
        every["size"] = survey.sizes
    titles = {"size": "Sizes, px", **_COUNT_TITLES}
    same, cards = [], []
    for name, title in titles.items():
        counts = every.get(name)
        if not counts:
            continue
        if len(counts) == 1:
            same.append(f"<div><dt>{escape(title)}</dt><dd>{escape(next(iter(counts)))}</dd></div>")
        else:
            cards.append(f'<div class="card"><h3>{escape(title)}</h3>{count_bars(counts)}</div>')
    alike = f'<dl class="same">{"".join(same)}</dl>' if same else ""
    apart = f'<div class="columns">{"".join(cards)}</div>' if cards else ""
    return alike + apart


def _recipe(report: Report) -> str:
    facts = report.fingerprint
    steps = "".join(
        f"<details><summary>{escape(str(step['step']))}</summary>"
        '<pre tabindex="0">'
        f"{escape(_settings(step))}</pre></details>"
        for step in (*facts.get("steps", ()), *facts.get("closing", ()))
    )
    said = [f"Recipe {facts.get('name')}", f"seed {facts.get('seed')}"]
    said.append(f"hash {report.recipe_hash[:12]}")
    return f'<p class="about">{escape(", ".join(said))}</p><div class="steps">{steps}</div>'


def _settings(step: dict[str, object]) -> str:
    return json.dumps({key: value for key, value in step.items() if key != "step"}, indent=1)
