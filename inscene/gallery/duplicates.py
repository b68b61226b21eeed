"""``duplicates``: of photos that show the same, one stays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from inscene.dataset.closing import ClosingDrop
from inscene.engine.closing_step import ClosingStep
from inscene.engine.step import Threshold
from inscene.gallery.hamming import BKTree
from inscene.gallery.phash import as_int

DUPLICATE, NEAR_DUPLICATE = "duplicate", "near_duplicate"

Bits = Annotated[int, Field(ge=0, le=32)]
MAX_DISTANCE = 6
"""[chosen] on 371 photos: recompression to JPEG quality 30, a third of the size and noise change at
most 4 bits, brightness, contrast and 1 % of the frame at most 6 in 99 of 100; photos of different
people or places differ in 10 or more."""


@dataclass(frozen=True)
class Duplicates(ClosingStep):
    """Go through the rows, the preferred first. What equals or nearly equals one that stays, goes.

    So no two rows that stay are near each other, and each that goes is near the one that its drop
    names: the nearest, of those the most preferred. Whoever is like another only through a third
    stays.
    """

    max_distance: Bits | None = MAX_DISTANCE
    """Bits of ``phash`` that may differ between near duplicates; null: only exact ones go."""
    prefer: tuple[str, ...] = ("short_side_px", "laplacian_var")
    """Scores of which the larger is preferred, the first that differs decides; then the smaller id.
    By default the larger source, then the sharper scene."""

    reads: ClassVar[tuple[str, ...]] = ("identity", "phash", "pixels_sha256", "scores", "sha256")
    needs_steps: ClassVar[tuple[str, ...]] = ("phash",)
    makes: ClassVar[tuple[str, ...]] = ("scenes",)

    def decide(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, ClosingDrop]:
        ranked = sorted(rows, key=self._rank)
        found: dict[str, ClosingDrop] = {}
        by_file: dict[str, int] = {}
        by_pixels: dict[str, int] = {}
        tree = BKTree()
        for place, row in enumerate(ranked):
            file, pixels, bits = row.get("sha256"), row.get("pixels_sha256"), row.get("phash")
            if file in by_file:
                drop = _drop(DUPLICATE, "the same file", row, ranked[by_file[file]])
            elif pixels in by_pixels:
                drop = _drop(DUPLICATE, "the same pixels", row, ranked[by_pixels[pixels]])
            elif nearest := self._nearest(tree, bits):
                distance, like = nearest
                what = f"{distance} of 64 bits differ"
                drop = _drop(NEAR_DUPLICATE, what, row, ranked[like])
            else:
                for known, value in ((by_file, file), (by_pixels, pixels)):
                    if value is not None:
                        known[value] = place
                if bits is not None:
                    tree.add(as_int(bits), place)
                continue
            found[row["input"]] = drop
        return found

    def _rank(self, row: Mapping[str, Any]) -> tuple[list[float], str]:
        scores = row.get("scores") or {}
        return [-_number(scores.get(name)) for name in self.prefer], str(row["input"])

    def _nearest(self, tree: BKTree, bits: str | None) -> tuple[int, int] | None:
        if self.max_distance is None or bits is None:
            return None
        return min(tree.within(as_int(bits), self.max_distance), default=None)

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        return {"max_distance": Threshold(facts["max_distance"], Bits | None, most=True)}


def _number(value: float | None) -> float:
    return -math.inf if value is None or math.isnan(value) else value


def _drop(reason: str, what: str, row: Mapping[str, Any], like: Mapping[str, Any]) -> ClosingDrop:
    mine, theirs = row.get("identity"), like.get("identity")
    if mine is not None and theirs is not None and mine != theirs:
        what += ", under another identity"
    return ClosingDrop(reason, what, str(like["input"]))
