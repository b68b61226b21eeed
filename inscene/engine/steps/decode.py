"""``decode``: from the bytes of an image to upright 8-bit sRGB pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from inscene import images
from inscene.engine.rows import Call, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext


@dataclass(frozen=True)
class Decode(Step):
    """Decode the ``image`` column; what cannot be decoded fails with its reason."""

    max_megapixels: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 80.0
    """Refused by the header, before any pixel is decoded."""

    def setup(self, context: StepContext) -> Call:
        limits = images.Limits(max_megapixels=self.max_megapixels)

        def decode(row: Row) -> Outcome:
            row.pixels = images.decode(row.columns["image"]["bytes"], limits).pixels
            row.columns["height"], row.columns["width"] = row.pixels.shape[:2]
            return Keep((row,))

        return row_by_row(decode)
