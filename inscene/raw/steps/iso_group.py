"""``iso_group``: which of a few ISO values a capture counts among."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from inscene.engine.rows import Call, Drop, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Redecision, Step, StepContext, Threshold

OUTSIDE, UNKNOWN = "iso_outside_groups", "iso_unknown"

Groups = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
Others = Literal["keep", "drop"]
Stops = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class IsoGroup(Step):
    """Note the group, ``camera.iso_group``; none for a capture of another ISO, or of none."""

    groups: Groups = (800, 1600, 3200)
    tolerance_stops: Stops = 0.1
    """How far from its group's value an ISO may be: what some cameras write is not round."""
    others: Others = "keep"
    """Captures of no group: kept without one, or dropped."""

    def setup(self, context: StepContext) -> Call:
        def note(row: Row) -> Outcome:
            camera = row.columns.get("camera") or {}
            group = group_of(camera.get("iso"), self.groups, self.tolerance_stops)
            row.columns["camera"] = {**camera, "iso_group": group}
            if group is None and self.others == "drop":
                iso = camera.get("iso")
                return Drop(UNKNOWN) if iso is None else Drop(OUTSIDE, f"ISO {iso}")
            return Keep((row,))

        return row_by_row(note)

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        types = {"groups": Groups, "tolerance_stops": Stops, "others": Others}
        return {name: Threshold(facts[name], type_) for name, type_ in types.items()}

    @classmethod
    def redecide(
        cls, facts: Mapping[str, Any], changed: Mapping[str, Any], row: Mapping[str, Any]
    ) -> Redecision:
        now = {**facts, **changed}
        iso = (row.get("scores") or {}).get("iso")
        inside = group_of(iso, now["groups"], now["tolerance_stops"]) is not None
        if inside or now["others"] == "keep":
            return Redecision("keep")
        return Redecision("drop", UNKNOWN if iso is None else OUTSIDE)


def group_of(iso: float | None, groups: Sequence[int], tolerance_stops: float) -> int | None:
    """The nearest of the groups, where it is near enough."""
    if not iso or iso <= 0:
        return None
    stops, nearest = min((abs(math.log2(iso / group)), group) for group in groups)
    return nearest if stops <= tolerance_stops else None
