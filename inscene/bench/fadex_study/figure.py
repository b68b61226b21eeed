"""Both kinds of matrices laid out as rectangles and texts, for the page and for the picture.

Positions are in px at one to one; whoever draws may enlarge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from inscene.bench.fadex_study.colours import RGB, colour_of, ink_on
from inscene.bench.fadex_study.measure import Compared

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Rect:
    x: float
    y: float
    width: float
    height: float
    fill: RGB | None
    """None: a cell that compares something with itself."""
    said: str = ""
    """For whoever points at it."""


@dataclass(frozen=True)
class Text:
    x: float
    y: float
    """Of the base line."""
    text: str
    size: float
    anchor: Anchor = "middle"
    ink: RGB | None = None
    """None: the page's own."""
    bold: bool = False


@dataclass
class Figure:
    width: float
    height: float
    rects: list[Rect] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)

    def add(self, other: Figure, x: float, y: float) -> None:
        """Draw another one into this."""
        for rect in other.rects:
            moved = (rect.x + x, rect.y + y, rect.width, rect.height)
            self.rects.append(Rect(*moved, rect.fill, rect.said))
        for text in other.texts:
            look = (text.size, text.anchor, text.ink, text.bold)
            self.texts.append(Text(text.x + x, text.y + y, text.text, *look))


@dataclass(frozen=True)
class Panel:
    """One matrix."""

    title: str
    names: tuple[str, ...]
    """Of rows and columns."""
    cosines: Sequence[Sequence[float]]
    side_px: float


_LABELS, _TITLE, _GAP = 26, 24, 22  # px
_NUMBER_PX, _LABEL_PX, _TITLE_PX, _HEAD_PX = 10.0, 12.0, 13.0, 16.0
_CELL, _LARGEST_SIDE = 34.0, 408.0  # px
_BETWEEN_CELLS = 1.0  # px
_LETTER = 0.56
"""Width of a letter, of its height: a wide one's, since no font is at hand to measure with."""
_SMALLEST_CELL = 30.0
"""px; smaller ones have no room for a number."""


def across_images(code: Compared, presets: Sequence[str], columns: int = 2) -> Figure:
    """For each preset, images × images, numbered from 1."""
    count = code.test.image_pairs.shape[-1]
    names = tuple(str(number + 1) for number in range(count))
    side_px = min(max(_CELL * count, 150.0), _LARGEST_SIDE)
    panels = [
        Panel(f"{_short(name, 12)}: mean {cosine_text(mean)}", names, matrix, side_px)
        for name, mean, matrix in zip(
            presets, code.test.per_preset.tolist(), code.test.image_pairs.tolist(), strict=True
        )
    ]
    return _tiled(panels, columns)


def across_presets(code: Compared, presets: Sequence[str], columns: int = 4) -> Figure:
    """For each image, presets × presets."""
    side_px = min(max(_CELL * len(presets), 96.0), _LARGEST_SIDE)
    panels = [
        Panel(f"image {number}: {cosine_text(mean)}", tuple(presets), matrix, side_px)
        for number, (mean, matrix) in enumerate(
            zip(code.test.per_image.tolist(), code.test.preset_pairs.tolist(), strict=True), 1
        )
    ]
    return _tiled(panels, columns)


def scale_bar() -> Figure:
    """What the colours mean."""
    steps, step_px = 101, 3
    figure = Figure(steps * step_px + 40, 46)
    for step in range(steps):
        value = 2 * step / (steps - 1) - 1
        figure.rects.append(Rect(20 + step * step_px, 0, step_px, 14, colour_of(value)))
    for value in (-1.0, -0.5, 0.0, 0.5, 1.0):
        x = 20 + (value + 1) / 2 * steps * step_px
        figure.texts.append(Text(x, 28, f"{value:g}", _NUMBER_PX))
    figure.texts.append(Text(figure.width / 2, 43, "cosine", _LABEL_PX))
    return figure


def both(code: Compared, presets: Sequence[str]) -> Figure:
    """The whole of Figure 3: left across images, right across presets, with the scale below."""
    left = across_images(code, presets)
    right = min(
        (across_presets(code, presets, columns) for columns in range(1, 11)),
        key=lambda one: (max(0.0, one.height - left.height), one.width),
    )
    left = _headed(left, f"(a) same preset, other image: {cosine_text(code.across_images)}")
    right = _headed(right, f"(b) same image, other preset: {cosine_text(code.across_presets)}")
    bar, between = scale_bar(), 46.0
    height = max(left.height, right.height)
    whole = Figure(left.width + between + right.width, height + 14 + bar.height)
    whole.add(left, 0, 0)
    whole.add(right, left.width + between, 0)
    whole.add(bar, (whole.width - bar.width) / 2, height + 14)
    return whole


def _headed(figure: Figure, head: str) -> Figure:
    """As wide as its head at least, and in its middle."""
    width = max(figure.width, _HEAD_PX * _LETTER * len(head))
    whole = Figure(width, figure.height + 34)
    whole.texts.append(Text(width / 2, 18, head, _HEAD_PX, bold=True))
    whole.add(figure, (width - figure.width) / 2, 34)
    return whole


def cosine_text(value: float, digits: int = 3) -> str:
    """Never -0.00."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _short(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}."


def _tiled(panels: Sequence[Panel], columns: int) -> Figure:
    """Rows of panels, all of one size."""
    columns = min(columns, len(panels))
    drawn = [_drawn(panel) for panel in panels]
    width, height = drawn[0].width, drawn[0].height
    rows = math.ceil(len(panels) / columns)
    figure = Figure(columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP)
    for place, one in enumerate(drawn):
        row, column = divmod(place, columns)
        figure.add(one, column * (width + _GAP), row * (height + _GAP))
    return figure


def _drawn(panel: Panel) -> Figure:
    """Title above, names of columns below and of rows on the left."""
    cell = panel.side_px / len(panel.names)
    figure = Figure(_LABELS + panel.side_px, _TITLE + panel.side_px + _LABELS)
    middle = _LABELS + panel.side_px / 2
    figure.texts.append(Text(middle, _TITLE - 8, panel.title, _TITLE_PX, bold=True))
    for row, cosines in enumerate(panel.cosines):
        for column, cosine in enumerate(cosines):
            x, y = _LABELS + column * cell, _TITLE + row * cell
            _add_cell(figure, panel, (row, column), cosine, (x, y, cell))
    figure.texts += _axis_names(panel, cell)
    return figure


def _add_cell(
    figure: Figure,
    panel: Panel,
    place: tuple[int, int],
    cosine: float,
    square: tuple[float, float, float],
) -> None:
    x, y, cell = square
    side = cell - _BETWEEN_CELLS
    if place[0] == place[1]:
        figure.rects.append(Rect(x, y, side, side, None))
        return
    fill = colour_of(cosine)
    said = f"{panel.names[place[0]]}, {panel.names[place[1]]}: {cosine_text(cosine, 4)}"
    figure.rects.append(Rect(x, y, side, side, fill, said))
    if cell >= _SMALLEST_CELL:
        text = cosine_text(cosine, 2)
        base = y + side / 2 + 0.36 * _NUMBER_PX
        figure.texts.append(Text(x + side / 2, base, text, _NUMBER_PX, ink=ink_on(fill)))


def _axis_names(panel: Panel, cell: float) -> Iterator[Text]:
    every = math.ceil(14 / cell)  # where cells are narrower than their names
    for place, name in enumerate(panel.names):
        if place % every:
            continue
        along = (place + 0.5) * cell
        short = _short(name, 4)
        yield Text(_LABELS - 5, _TITLE + along + 0.36 * _LABEL_PX, short, _LABEL_PX, "end")
        yield Text(_LABELS + along, _TITLE + panel.side_px + 15, short, _LABEL_PX)
