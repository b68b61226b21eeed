"""Contact sheets."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from inscene.inspection.pictures import Picture, Shot
from inscene.inspection.words import SCORE_WORDS, number


def sheet(pictures: Sequence[Picture], name: str, told: Sequence[str] = ()) -> str:
    """``told``: the scores that stand below each picture, those that it has. A picture without an
    image says why."""
    tiles = "".join(_tile(picture, told) for picture in pictures)
    wide = " several" if any(len(picture.shots) > 1 for picture in pictures) else ""
    return f'<ul class="sheet{wide}" id="{name}">{tiles}</ul>'


def _tile(picture: Picture, told: Sequence[str]) -> str:
    shots = "".join(_shot(shot, picture.sample_id) for shot in picture.shots)
    sorting = "".join(
        f' data-score-{name.replace("_", "-")}="{value:.6g}"'
        for name, value in picture.scores.items()
    )
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _facts(picture))
    seen = (
        f'<button type="button" class="open" aria-label="{escape(picture.sample_id)}, enlarge">'
        f'<span class="shots">{shots}</span></button>'
        if shots
        else f'<p class="missing">{escape(picture.missing)}</p>'
    )
    short = picture.sample_id.rpartition("/")[2] or picture.sample_id
    return (
        f'<li{sorting}>{seen}<p class="id" title="{escape(picture.sample_id)}">{escape(short)}</p>'
        f"{_line(picture, told)}<dl hidden><dt>sample</dt><dd>{escape(picture.sample_id)}</dd>"
        f"{facts}</dl></li>"
    )


def _shot(shot: Shot, sample_id: str) -> str:
    data = base64.b64encode(shot.jpeg).decode("ascii")
    tag = f'<span class="tag">{escape(shot.label)}</span>' if shot.label else ""
    box = ""
    if shot.box is not None:
        sides = zip(("left", "top", "width", "height"), shot.box, strict=True)
        place = ";".join(f"{side}:{100 * value:.2f}%" for side, value in sides)
        box = f'<span class="face" style="{place}"></span>'
    shape = "wide" if shot.width >= shot.height else "tall"
    alt = f"{sample_id} {shot.label}".strip()
    return (
        f'<span class="shot {shape}" style="--ratio:{shot.width}/{shot.height}">'
        f'<img src="data:image/jpeg;base64,{data}" width="{shot.width}" height="{shot.height}" '
        f'alt="{escape(alt)}">{box}{tag}</span>'
    )


def _line(picture: Picture, told: Sequence[str]) -> str:
    facts = dict(picture.facts)
    why = facts.get("why")
    parts = [escape(why)] if why else []
    if "version" in facts:
        parts.append(f"version {escape(facts['version'])}")
    if not why:
        parts += [
            f"{escape(SCORE_WORDS.get(name, (name, ''))[0])} {number(picture.scores[name])}"
            for name in told
            if name in picture.scores
        ][:2]
    return f'<p class="line">{" · ".join(parts)}</p>' if parts else ""


def _facts(picture: Picture) -> list[tuple[str, str]]:
    scores: Mapping[str, float] = picture.scores
    named = [
        (SCORE_WORDS.get(name, (name, ""))[0], number(value)) for name, value in scores.items()
    ]
    return [*picture.facts, *named]
