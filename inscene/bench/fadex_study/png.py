"""A figure as a PNG, for papers."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

from inscene.bench.fadex_study.colours import RGB
from inscene.bench.fadex_study.figure import Figure

ENLARGED = 3
DPI = 300
_MARGIN = 16  # px of the figure
_PAPER, _INK, _SELF = (255, 255, 255), (20, 20, 20), (225, 225, 225)
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def png(figure: Figure) -> bytes:
    """8-bit RGB on white, three times the figure's size and 300 dots an inch."""
    size = tuple(round((side + 2 * _MARGIN) * ENLARGED) for side in (figure.width, figure.height))
    page = Image.new("RGB", (size[0], size[1]), _PAPER)
    canvas = ImageDraw.Draw(page)
    for rect in figure.rects:
        left, top = _px(rect.x), _px(rect.y)
        right, bottom = _px(rect.x + rect.width), _px(rect.y + rect.height)
        canvas.rectangle((left, top, right - 1, bottom - 1), rect.fill or _SELF)
    for text in figure.texts:
        _write(canvas, (_px(text.x), _px(text.y)), text.text, text.size, text.anchor,
               text.ink or _INK, text.bold)  # fmt: skip
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True, dpi=(DPI, DPI))
    return buffer.getvalue()


def _write(
    canvas: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    size: float,
    anchor: str,
    ink: RGB,
    bold: bool,
) -> None:
    font = ImageFont.load_default(size * ENLARGED)
    # The font that Pillow carries has one weight; a thin outline of the same ink stands for bold.
    canvas.text(at, text, ink, font, _ANCHORS[anchor], stroke_width=1 if bold else 0)


def _px(value: float) -> int:
    return round((value + _MARGIN) * ENLARGED)
