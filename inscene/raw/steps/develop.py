"""``develop``: from the bytes of a RAW file to upright sRGB pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from inscene.engine.rows import Call, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.raw.decoder import SERVE, RawDecoder
from inscene.raw.settings import Demosaic, Highlights, Settings, WhiteBalance
from inscene.recipe import canonical_json


@dataclass(frozen=True)
class Develop(Step):
    """Develop the ``image`` column with LibRaw; what cannot be developed fails with its reason."""

    white_balance: WhiteBalance = "camera"
    """As the camera stored it; daylight, by what is known of the sensor; or auto, estimated from
    each photo."""
    auto_brightness: bool = False
    """Scale each photo until a hundredth of it is white: photos are then no longer comparable."""
    demosaic: Demosaic = "ahd"
    highlights: Highlights = "clip"
    """What is over the white level in one channel: white, blended or rebuilt from the others."""
    bits: Literal[8, 16] = 8
    """Of the stored image. Steps and readers see the high byte of 16."""
    max_megapixels: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 80.0
    """Refused by the header, before any pixel is decoded."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 300.0
    """What takes longer fails, and its LibRaw is ended."""

    program: ClassVar[str] = SERVE
    """Of the process that LibRaw runs in."""

    def setup(self, context: StepContext) -> Call:
        settings = Settings(
            white_balance=self.white_balance,
            auto_brightness=self.auto_brightness,
            demosaic=self.demosaic,
            highlights=self.highlights,
            bits=self.bits,
            max_megapixels=self.max_megapixels,
        )
        decoder = RawDecoder(settings, self.timeout_s, self.program)
        decoder.start()  # what is missing here ends the run before it begins

        def develop(row: Row) -> Outcome:
            pixels, facts = decoder.develop(row.columns["image"]["bytes"])
            row.columns["development"] = canonical_json(facts.pop("development"))
            row.columns["camera"] = facts
            if facts["iso"] is not None:
                row.scores["iso"] = float(facts["iso"])
            if pixels.dtype == np.uint16:
                row.deep, pixels = pixels, (pixels >> 8).astype(np.uint8)
            row.pixels = pixels
            row.columns["height"], row.columns["width"] = pixels.shape[:2]
            return Keep((row,))

        return row_by_row(develop)
