"""What travels through the steps of one shard, inside one worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inscene.errors import SampleError


@dataclass
class Row:
    """One sample: the input it came from, the columns of its table, and its pixels while it is
    being worked on."""

    input_id: str
    columns: dict[str, Any]
    pixels: NDArray[np.uint8] | None = None
    """(H, W, 3) 8-bit sRGB; what the scene *is* at this point of the recipe."""
    deep: NDArray[np.uint16] | None = None
    """The same at 16 bits, where a step made them: what is stored, while ``pixels``, its high byte,
    is what further steps look at."""
    images: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """Further decoded images, by column name (lq, hq, restored)."""

    @property
    def scores(self) -> dict[str, float]:
        """Scores so far; a step adds to them before it decides."""
        scores: dict[str, float] = self.columns.setdefault("scores", {})
        return scores


@dataclass(frozen=True)
class Keep:
    """The sample goes on, as one row or (five versions, ten metrics) as several."""

    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Drop:
    """A step decided against the sample. ``reason`` is a stable snake_case word."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Fail:
    """The sample could not be used. ``reason`` is a stable snake_case word."""

    reason: str
    detail: str = ""


Outcome = Keep | Drop | Fail
Call = Callable[[Sequence[Row]], list[Outcome]]
"""A step at work: one outcome for each row, in order."""


def row_by_row(work: Callable[[Row], Outcome]) -> Call:
    """A call over a batch from one over a row; a :class:`SampleError` fails only its own row."""

    def call(rows: Sequence[Row]) -> list[Outcome]:
        return [_guarded(work, row) for row in rows]

    return call


def _guarded(work: Callable[[Row], Outcome], row: Row) -> Outcome:
    try:
        return work(row)
    except SampleError as error:
        return Fail(error.reason, error.detail)
