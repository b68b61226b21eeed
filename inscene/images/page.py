"""A page of images with captions: contact sheets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

COLUMNS = 5
SEPARATORS = (" · ", " | ")
"""Between the parts of a text: lines are broken after them, where there are any."""

_GAP = 20
_TITLE_PX, _TEXT_PX, _LINE = 26, 20, 1.35
_PAGE, _INK, _PALE_INK = 250, 20, 90  # grey levels


@dataclass(frozen=True)
class Tile:
    """An image with a title and a text below it."""

    image: Image.Image
    title: str
    text: str


class Page:
    """Tiles in rows of equal columns; a row is as high as its highest tile. No tile may be wider
    than ``column_px``."""

    def __init__(self, head: str, tiles: Sequence[Tile], column_px: int) -> None:
        self._title_font = ImageFont.load_default(_TITLE_PX)
        self._text_font = ImageFont.load_default(_TEXT_PX)
        self._head, self._column = head, column_px
        self._rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
        self._width = _GAP + len(self._rows[0]) * (column_px + _GAP)

    def draw(self) -> npt.NDArray[np.uint8]:
        """uint8, height × width × 3."""
        head = self._wrapped(self._head, self._text_font, self._width - 2 * _GAP)
        tops = [_GAP + self._height(self._text_font, head) + _GAP]
        for row in self._rows:
            tops.append(tops[-1] + max(self._tile_height(tile) for tile in row) + _GAP)
        page = Image.new("RGB", (self._width, tops[-1]), (_PAGE, _PAGE, _PAGE))
        canvas = ImageDraw.Draw(page)
        self._write(canvas, (_GAP, _GAP), head, self._text_font, _INK)
        for top, row in zip(tops, self._rows, strict=False):
            for place, tile in enumerate(row):
                self._draw_tile(page, canvas, _GAP + place * (self._column + _GAP), top, tile)
        return np.asarray(page)

    def _draw_tile(
        self, page: Image.Image, canvas: ImageDraw.ImageDraw, left: int, top: int, tile: Tile
    ) -> None:
        page.paste(tile.image, (left, top))
        top += tile.image.height + _GAP // 4
        title, text = self._captions(tile)
        top = self._write(canvas, (left, top), title, self._title_font, _INK)
        self._write(canvas, (left, top), text, self._text_font, _PALE_INK)

    def _tile_height(self, tile: Tile) -> int:
        title, text = self._captions(tile)
        captions = self._height(self._title_font, title) + self._height(self._text_font, text)
        return tile.image.height + _GAP // 4 + captions

    def _captions(self, tile: Tile) -> tuple[list[str], list[str]]:
        return (
            self._wrapped(tile.title, self._title_font, self._column),
            self._wrapped(tile.text, self._text_font, self._column),
        )

    def _write(
        self,
        canvas: ImageDraw.ImageDraw,
        at: tuple[int, int],
        lines: Sequence[str],
        font: _Font,
        ink: int,
    ) -> int:
        """The next free line below."""
        left, top = at
        for line in lines:
            canvas.text((left, top), line, fill=(ink, ink, ink), font=font)
            top += self._height(font, [line])
        return top

    def _height(self, font: _Font, lines: Sequence[str]) -> int:
        size = _TITLE_PX if font is self._title_font else _TEXT_PX
        return round(size * _LINE) * len(lines)

    def _wrapped(self, text: str, font: _Font, width: int) -> list[str]:
        """Lines broken between steps, at blanks within a step that fills a line, and anywhere
        within a word that does."""
        lines = [""]
        for piece in self._pieces(text, font, width):
            longer = f"{lines[-1]} {piece}".lstrip()
            if font.getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
        return [line for line in lines if line]

    def _pieces(self, text: str, font: _Font, width: int) -> Iterator[str]:
        steps = (
            _AFTER_STEP.split(text) if any(mark in text for mark in SEPARATORS) else text.split()
        )
        for step in steps:
            if font.getlength(step) <= width:
                yield step
                continue
            for word in step.split():
                while (fits := _fitting(word, font, width)) < len(word):
                    yield word[:fits]
                    word = word[fits:]
                yield word


def _fitting(word: str, font: _Font, width: int) -> int:
    """How many of its first characters fit; at least one."""
    ends = range(1, len(word) + 1)
    return max((end for end in ends if font.getlength(word[:end]) <= width), default=1)


_AFTER_STEP = re.compile(rf"(?<=[{''.join(mark.strip() for mark in SEPARATORS)}]) ")
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
