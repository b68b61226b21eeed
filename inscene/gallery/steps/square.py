"""``square``: the part of a photo that becomes the scene."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from inscene.engine.rows import Call, Drop, Fail, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.faces.align import ByteImage
from inscene.faces.columns import FOUND, as_column, store_face, stored_face
from inscene.faces.face import Face
from inscene.faces.mapped import mapped, mapped_face

DOES_NOT_FIT = "face_does_not_fit"
Boxes = Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True)
class Square(Step):
    """Cut the largest square that has the whole face, and resize it.

    The square is as wide as the photo's shorter side and lies along the longer one, its middle at
    that of the face as far as the photo reaches. A face that is longer than that is dropped.
    """

    side_px: Annotated[int, Field(ge=32, le=8192)] = 1024
    """Side of the scene."""
    keep: Literal["face", "person"] = "face"
    """What the middle is of. The person is not detected: it is taken to reach as far from the face
    as the next three say. Where the person does not fit, the head and what is below it stay, and
    sideways the middle is the face's. The face is always whole."""
    person_above: Boxes = 0.5
    """Face heights above the face box."""
    person_below: Boxes = 7.0
    """Face heights below it."""
    person_width: Boxes = 4.0
    """Face widths, the face in the middle."""

    def setup(self, context: StepContext) -> Call:
        return row_by_row(self._cut)

    def _cut(self, row: Row) -> Outcome:
        pixels = row.pixels
        assert pixels is not None, "decode comes first"
        face = stored_face(row.columns)
        if face is None:
            return Fail("no_face_known", "detect_faces comes before square")
        height, width = pixels.shape[:2]
        side = min(height, width)
        start = self._start(face, width, height)
        if start is None:
            x0, y0, x1, y1 = face.bbox
            return Drop(DOES_NOT_FIT, f"a face of {x1 - x0:.0f}x{y1 - y0:.0f} in {side} px")
        x, y = (start, 0) if width > height else (0, start)
        scale = self.side_px / side
        row.pixels = resized(pixels[y : y + side, x : x + side], self.side_px)
        row.columns["height"], row.columns["width"] = row.pixels.shape[:2]
        points68 = row.columns.get("landmarks68")
        there = mapped_face(face, scale, x, y)
        store_face(row.columns, there)
        row.columns[FOUND] = [there]
        if points68 is not None:
            flat = np.asarray(points68, np.float64).reshape(-1, 2)
            row.columns["landmarks68"] = as_column(mapped(flat, scale, x, y))
        row.scores["face_area"] = there.area / self.side_px**2
        return Keep((row,))

    def _start(self, face: Face, width: int, height: int) -> int | None:
        """First pixel of the square along the longer side; None where the face does not fit."""
        x0, y0, x1, y1 = face.bbox
        if width >= height:
            aside = (self.person_width - 1) / 2 * (x1 - x0)
            low, high, length, side = x0, x1, width, height
            person = (x0 - aside, x1 + aside)
        else:
            low, high, length, side = y0, y1, height, width
            person = (
                y0 - self.person_above * (y1 - y0),
                y1 + self.person_below * (y1 - y0),
            )
        first, last = _whole_pixels(low, high, length)
        if last - first > side or last <= first:
            return None
        wanted = (first, last)
        if self.keep == "person":
            wanted = _whole_pixels(*person, length)
        start = (wanted[0] + wanted[1] - side) // 2
        if wanted[1] - wanted[0] > side:
            start = (first + last - side) // 2 if width >= height else wanted[0]
        return max(0, last - side, min(start, first, length - side))


def _whole_pixels(low: float, high: float, length: int) -> tuple[int, int]:
    """The pixels that the stretch touches, as far as there are any; the second is outside."""
    return max(0, math.floor(low)), min(length, math.ceil(high) + 1)


def resized(square: ByteImage, side_px: int) -> ByteImage:
    """By Pillow's Lanczos filter, which reaches over all pixels that become one ([chosen])."""
    if square.shape[0] == side_px:
        return np.ascontiguousarray(square)
    image = Image.fromarray(np.ascontiguousarray(square))
    return np.array(image.resize((side_px, side_px), Image.Resampling.LANCZOS), np.uint8)
