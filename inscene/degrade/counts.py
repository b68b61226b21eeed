"""Poisson counts for the 256 means that an 8-bit value can have, drawn exactly and fast.

Walker's alias method: a random word chooses a column of the mean's table and stays there or goes to
the column's alias. The probabilities are those of the distribution to 2⁻³², the resolution of the
word; what lies more than ten standard deviations out is left away.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inscene.degrade.compiled import compiled


@dataclass(frozen=True)
class CountTables:
    """Tables for ``levels`` counts at white.

    ``cells`` has 2^``column_bits`` columns for each value, one value after the other; a cell is its
    threshold above its alias in the low bits.
    ``lowest[value]`` minus the mean is what an index of 0 stands for.
    """

    cells: npt.NDArray[np.uint32]
    lowest_minus_mean: npt.NDArray[np.float32]
    column_bits: int


@functools.lru_cache(maxsize=8)
def count_tables(levels: int) -> CountTables:
    """Kept for the next call: they take milliseconds, and half a megabyte at 256 levels."""
    means = np.arange(256) * (levels / 255)
    reach = 10 * np.sqrt(means) + 10
    lowest = np.maximum(0, np.floor(means - reach))
    widest = math.ceil(float((means + reach - lowest).max())) + 1
    column_bits = max(1, (widest - 1).bit_length())
    cells = np.zeros((256, 1 << column_bits), np.uint32)
    for value in range(256):
        _fill(float(means[value]), int(lowest[value]), column_bits, cells[value])
    return CountTables(cells.reshape(-1), (lowest - means).astype(np.float32), column_bits)


@compiled
def _fill(mean: float, lowest: int, column_bits: int, cells: npt.NDArray[np.uint32]) -> None:
    columns = len(cells)
    odds = np.zeros(columns)
    if mean == 0:
        odds[0] = columns
    else:
        for i in range(columns):
            count = float(lowest + i)
            odds[i] = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
        odds *= columns / odds.sum()
    # Every column ends up with a share of 1: its own odds, and the rest from one that has too much.
    alias = np.arange(columns)
    short, long = np.empty(columns, np.int64), np.empty(columns, np.int64)
    shorts = longs = 0
    for i in range(columns):
        if odds[i] < 1:
            short[shorts] = i
            shorts += 1
        else:
            long[longs] = i
            longs += 1
    while shorts and longs:
        shorts -= 1
        poor, rich = short[shorts], long[longs - 1]
        alias[poor] = rich
        odds[rich] -= 1 - odds[poor]
        if odds[rich] < 1:
            longs -= 1
            short[shorts] = rich
            shorts += 1
    scale = float(1 << (32 - column_bits))
    for i in range(columns):
        is_whole = alias[i] == i  # rounding may leave it a little below 1
        threshold = scale - 1 if is_whole else min(np.rint(odds[i] * scale), scale - 1)
        cells[i] = (np.uint32(threshold) << np.uint32(column_bits)) | np.uint32(alias[i])
