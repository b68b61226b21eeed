"""``min_size``: photos that have too few pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from inscene.engine.rows import Call, Drop, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Redecision, Step, StepContext, Threshold

TOO_SMALL = "too_small"
SidePx = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class MinSize(Step):
    """Drop what is too small, and note how large the source was: ``scores.short_side_px``."""

    short_side_px: SidePx = 1000
    """Smallest shorter side."""

    def setup(self, context: StepContext) -> Call:
        def decide(row: Row) -> Outcome:
            assert row.pixels is not None, "decode comes first"
            height, width = row.pixels.shape[:2]
            row.scores["short_side_px"] = float(min(height, width))
            if min(height, width) < self.short_side_px:
                return Drop(TOO_SMALL, f"{width}x{height}: {self.short_side_px} px are needed")
            return Keep((row,))

        return row_by_row(decide)

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        return {
            "short_side_px": Threshold(facts["short_side_px"], SidePx, score="short_side_px"),
        }

    @classmethod
    def redecide(
        cls, facts: Mapping[str, Any], changed: Mapping[str, Any], row: Mapping[str, Any]
    ) -> Redecision:
        side_px = (row.get("scores") or {}).get("short_side_px")
        if side_px is None:
            return Redecision("unknown", "its size is not stored")
        least = changed.get("short_side_px", facts["short_side_px"])
        return Redecision("drop", TOO_SMALL) if side_px < least else Redecision("keep")
