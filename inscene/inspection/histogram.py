"""Numbers of kept and of dropped samples in the same bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

BINS = 32
_LOG_RATIO = 30.0  # largest to median; beyond it equal bins would put nearly all into the first


@dataclass(frozen=True)
class Histogram:
    edges: tuple[float, ...]
    """Rising, one more than the counts."""
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    logarithmic: bool
    whole: bool = False
    """A bin for each whole number, around it."""

    def side(self, limit: float, *, most: bool) -> float:
        """Where a line for the limit parts the bars: between two whole numbers."""
        return limit + (0.5 if most else -0.5) if self.whole else limit


def histogram(kept: Values, dropped: Values, limits: Sequence[float]) -> Histogram:
    """The bins reach over all values, and over the limits, which are to be seen beside them.

    A limit near the values is an edge of bins, so that no bar is on both of its sides.
    """
    every = np.concatenate([kept, dropped])
    logarithmic = _is_logarithmic(every, limits)
    ends = np.concatenate([every, np.asarray(limits, np.float64)])
    low, high = float(ends.min()), float(ends.max())
    if low == high:
        room = abs(low) * 0.05 or 0.5
        low, high = low - room, high + room
    whole = _whole_number_edges(every, limits)
    edges = whole if whole is not None else _edges(low, high, limits, logarithmic)
    return Histogram(
        tuple(map(float, edges)),
        tuple(map(int, np.histogram(kept, edges)[0])),
        tuple(map(int, np.histogram(dropped, edges)[0])),
        logarithmic and whole is None,
        whole is not None,
    )


def _is_logarithmic(values: Values, limits: Sequence[float]) -> bool:
    if values.min() <= 0 or any(limit <= 0 for limit in limits):
        return False
    return bool(values.max() > _LOG_RATIO * np.median(values))


def _whole_number_edges(values: Values, limits: Sequence[float]) -> Values | None:
    """A bin for each of a few whole numbers: counts of faces, ISO values that were asked for."""
    if (values % 1).any() or any(limit % 1 for limit in limits):
        return None
    low = min(values.min(), *limits) if limits else values.min()
    high = max(values.max(), *limits) if limits else values.max()
    if high - low >= 12:
        return None
    return np.arange(low - 0.5, high + 1)


def _edges(low: float, high: float, limits: Sequence[float], logarithmic: bool) -> Values:
    edges: Values = (
        np.geomspace(low, high, BINS + 1) if logarithmic else np.linspace(low, high, BINS + 1)
    )
    edges[0], edges[-1] = low, high  # geomspace rounds
    for limit in limits:  # the nearest inner edge moves to it
        if low < limit < high:
            edges[1 + int(np.argmin(np.abs(edges[1:-1] - limit)))] = limit
    rising: Values = np.unique(edges)
    return rising
