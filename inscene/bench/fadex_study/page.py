"""The study as one self-contained HTML page, in the leaderboard's style."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from inscene import __version__
from inscene.bench.fadex_study.figure import (
    across_images,
    across_presets,
    cosine_text,
    scale_bar,
)
from inscene.bench.fadex_study.measure import Compared
from inscene.bench.fadex_study.report import Report
from inscene.bench.fadex_study.svg import svg
from inscene.degrade.words import describe

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
.heat rect.self { fill: color-mix(in srgb, var(--neutral) 25%, transparent); }
.card { padding: 0.9rem 1rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--card); width: fit-content; max-width: 100%; margin-bottom: 1rem; }
.card .scroller { overflow-x: auto; }
thead th { padding: 0.5rem 0.75rem; vertical-align: bottom; font-weight: 600; white-space: normal; }
td.words, th.words { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.verdict { font-size: 1.1rem; max-width: 75ch; }
.verdict strong { font-weight: 650; }
p.about { max-width: 75ch; color: var(--pale); }
"""


def html(report: Report) -> str:
    title = "FaDeX similarity"
    codes = [_code(code, report) for code in report.measured.codes]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="color-scheme" content="light dark">
<title>{title}: {escape(report.suite)}</title>
<style>
{(files("inscene.bench.leaderboard.html") / "page.css").read_text("utf-8")}{_STYLE}</style>
</head>
<body>
<header><h1>{title}</h1></header>
<main>
{_summary(report)}
{"".join(codes)}
{_images(report)}
{_presets(report)}
{_origin(report)}
</main>
<footer>Written by inscene {escape(__version__)}.</footer>
</body>
</html>
"""


def _summary(report: Report) -> str:
    measured = report.measured
    verdict, _, numbers = measured.verdict.partition(": ")
    heads = ("Code", "Same preset, other image", "Same image, other preset", "Gap",
             "Nearest is of the same preset")  # fmt: skip
    rows = [
        (code.title, f"{code.across_images:.4f}", f"{code.across_presets:.4f}", code.gap_text,
         f"{code.retrieval:.0%}")
        for code in measured.codes
    ]  # fmt: skip
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    chance = f"{1 / len(report.presets):.0%}"
    return (
        f'<p class="verdict"><strong>{escape(_sentence(verdict))}</strong> '
        f"{escape(_sentence(numbers))}</p>"
        f"{_table('Mean cosines', heads, rows)}"
        f'<ul class="notes"><li>Mean cosines. The codes decide. The first column is to be high: '
        f"the picture does not count. The second is to be low: the degradation does. The last is "
        f"how many codes have their nearest neighbour, among other images, under their own preset; "
        f"by chance {chance}.</li>{notes}</ul>"
    )


def _code(code: Compared, report: Report) -> str:
    images, presets = len(report.measured.images), len(report.presets)
    left = (
        f"Same preset, other image: {images * (images - 1) // 2} pairs a preset, mean "
        f"{cosine_text(code.across_images)}"
    )
    right = (
        f"Same image, other preset: {presets * (presets - 1) // 2} pairs an image, mean "
        f"{cosine_text(code.across_presets)}"
    )
    return (
        f"<section><h2>{escape(code.title)}</h2>"
        f"{_card(left, 'to be high', svg(across_images(code, report.presets), left))}"
        f"{_card(right, 'to be low', svg(across_presets(code, report.presets, 5), right))}"
        f'<div class="bar">{svg(scale_bar(), "Scale: blue is -1, white 0, red 1")}</div></section>'
    )


def _card(caption: str, aim: str, drawing: str) -> str:
    return (
        f'<figure class="card"><figcaption>{escape(caption)}<span>{aim}</span></figcaption>'
        f'<div class="scroller" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"{drawing}</div></figure>"
    )


def _images(report: Report) -> str:
    rows = [
        (str(number), image.id, f"{image.size[0]}×{image.size[1]}",
         f"{image.box[2] - image.box[0]}×{image.box[3] - image.box[1]} at "
         f"({image.box[0]}, {image.box[1]})", image.sha256[:12])
        for number, image in enumerate(report.measured.images, 1)
    ]  # fmt: skip
    heads = ("Number", "Image", "Size, px", "Face, px", "SHA-256")
    parts = [f"<section><h2>Images</h2>{_table('Images', heads, rows, words=(1,))}"]
    if passed := report.measured.looked.passed_over:
        lost = [
            (one.id, "failed" if one.failed else "passed over", one.reason, one.detail)
            for one in passed
        ]
        why = ("Image", "", "Reason", "Detail")
        title = "Not in the study"
        parts.append(f"<h3>{title}</h3>{_table(title, why, lost, words=(0, 1, 2, 3))}")
    return "".join([*parts, "</section>"])


def _presets(report: Report) -> str:
    rows = [
        (one.name, describe(one.operator), one.operator.operator_id[:12])
        for one in report.measured.presets
    ]
    table = _table("Presets", ("Preset", "What it does", "Operator"), rows, words=(1,))
    return f"<section><h2>Presets</h2>{table}</section>"


def _origin(report: Report) -> str:
    encoder, study = report.encoder, report.study
    facts = (
        f"FaDeX of {encoder.place}, family {encoder.config.family}, checkpoint "
        f"{encoder.sha256[:12]}. Images of {report.dataset}, faces found by {study.detector}, "
        f"noise of seed {study.seed}. HQ is the clean face, LQ the same box of the degraded scene."
    )
    return f'<section><h2>Measured on</h2><p class="about">{escape(facts)}</p></section>'


def _table(
    label: str, heads: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()
) -> str:
    """``words``: columns of texts, which may break. The first column is the rows' name."""

    def cell(tag: str, column: int, text: str) -> str:
        kind = ' class="words"' if column in words else ""
        return f"<{tag}{kind}>{escape(text)}</{tag.split()[0]}>"

    head = "".join(cell('th scope="col"', number, text) for number, text in enumerate(heads))
    body = "".join(
        "<tr>"
        + cell('th scope="row"', 0, row[0])
        + "".join(cell("td", number, text) for number, text in enumerate(row[1:], 1))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
