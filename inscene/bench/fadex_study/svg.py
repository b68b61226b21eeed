"""A figure as inline SVG."""

from __future__ import annotations

from html import escape

from inscene.bench.fadex_study.colours import RGB
from inscene.bench.fadex_study.figure import Figure, Rect, Text


def svg(figure: Figure, label: str) -> str:
    """``label``: for those who do not see it. Texts and cells without a colour of their own have
    the page's, by the classes ``heat`` and ``self``."""
    drawn = [*(_rect(one) for one in figure.rects), *(_text(one) for one in figure.texts)]
    width, height = figure.width, figure.height
    return (
        f'<svg class="heat" viewBox="0 0 {width:g} {height:g}" '
        f'style="width:{width:g}px;height:{height:g}px" role="img" '
        f'aria-label="{escape(label)}">{"".join(drawn)}</svg>'
    )


def _rect(rect: Rect) -> str:
    look = 'class="self"' if rect.fill is None else f'fill="{_hex(rect.fill)}"'
    place = f'x="{rect.x:g}" y="{rect.y:g}" width="{rect.width:g}" height="{rect.height:g}"'
    if not rect.said:
        return f"<rect {place} {look}/>"
    return f"<rect {place} {look}><title>{escape(rect.said)}</title></rect>"


def _text(text: Text) -> str:
    style = f"font-size:{text.size:g}px;text-anchor:{text.anchor}"
    if text.ink is not None:  # a style, since the page's rule for texts is stronger than a fill
        style += f";fill:{_hex(text.ink)}"
    if text.bold:
        style += ";font-weight:600"
    return f'<text x="{text.x:g}" y="{text.y:g}" style="{style}">{escape(text.text)}</text>'


def _hex(colour: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
