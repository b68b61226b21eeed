"""How the values of one parameter are distributed: counts of words, a histogram of numbers."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

BINS = 20

Scalar: TypeAlias = str | bool | int | float | None


@dataclass(frozen=True)
class Numbers:
    """Finite numbers, at least one. ``sd`` is that of the numbers themselves (divided by n)."""

    count: int
    min: float
    median: float
    max: float
    mean: float
    sd: float
    integer: bool
    """All of them are whole numbers by type."""
    edges: tuple[float, ...]
    """One more than ``counts``, rising; the last bin includes its upper edge. A single value has
    one bin without width."""
    counts: tuple[int, ...]
    """At most :data:`BINS`; their sum is ``count``."""


@dataclass(frozen=True)
class Distribution:
    """A parameter may have both: Poisson levels are a number, or the word ``auto``."""

    words: dict[str, int]
    """The most frequent first. Also holds ``true``, ``false``, ``null`` and what is not finite."""
    numbers: Numbers | None

    @property
    def count(self) -> int:
        return sum(self.words.values()) + (self.numbers.count if self.numbers else 0)

    @property
    def constant(self) -> str | float | None:
        """The one value that all have, or None where they differ."""
        if self.numbers is None:
            return next(iter(self.words)) if len(self.words) == 1 else None
        same = self.numbers.min == self.numbers.max and not self.words
        return self.numbers.min if same else None

    def to_json(self) -> dict[str, Any]:
        """``counts`` of words, ``count min median max mean sd histogram`` of numbers."""
        plain: dict[str, Any] = {"counts": self.words} if self.words or not self.numbers else {}
        if numbers := self.numbers:
            names = ("count", "min", "median", "max", "mean", "sd")
            plain |= {name: getattr(numbers, name) for name in names}
            plain["histogram"] = {"edges": list(numbers.edges), "counts": list(numbers.counts)}
        return plain


class Gathering:
    """Values as they come: eight bytes a number, and each word once."""

    def __init__(self, values: Iterable[Scalar] = ()) -> None:
        self.words: Counter[str] = Counter()
        self._numbers, self._integer = array("d"), True
        for value in values:
            self.add(value)

    def add(self, value: Scalar) -> None:
        if value is None or isinstance(value, bool):
            self.words["null" if value is None else str(value).lower()] += 1
        elif isinstance(value, str):
            self.words[value] += 1
        elif math.isfinite(value):
            self._numbers.append(value)
            self._integer = self._integer and isinstance(value, int)
        else:
            self.words[str(float(value))] += 1

    def values(self) -> npt.NDArray[np.float64]:
        """The finite numbers."""
        return np.array(self._numbers)

    def distribution(self) -> Distribution:
        numbers = _numbers(np.array(self._numbers), self._integer) if self._numbers else None
        return Distribution(by_count(self.words), numbers)


def by_count(words: Counter[str]) -> dict[str, int]:
    """The most frequent first, equals by name."""
    return dict(sorted(words.items(), key=lambda item: (-item[1], item[0])))


def _numbers(values: npt.NDArray[np.float64], integer: bool) -> Numbers:
    edges = _edges(values, integer)
    if len(edges) == 2:
        counts = np.array([len(values)])
    else:
        counts, _ = np.histogram(values, edges)
    return Numbers(
        count=len(values),
        min=float(values.min()),
        median=float(np.median(values)),
        max=float(values.max()),
        mean=float(values.mean()),
        sd=float(values.std()),
        integer=integer,
        edges=tuple(map(float, edges)),
        counts=tuple(map(int, counts)),
    )


def _edges(values: npt.NDArray[np.float64], integer: bool) -> npt.NDArray[np.float64]:
    low, high = values.min(), values.max()
    if integer and low < high:
        # Kernel sizes are odd: with one bin for each that can occur, none is empty for its parity.
        distinct = np.unique(values).astype(np.int64)
        step = int(np.gcd.reduce(np.diff(distinct)))
        bins = int(high - low) // step + 1
        if bins <= BINS:
            return np.asarray(low + step * (np.arange(bins + 1) - 0.5))
    edges = np.linspace(low, high, BINS + 1)
    # Too near to each other for so many different floats between them.
    return edges if (np.diff(edges) > 0).all() else np.array([low, high])


def spread(rows: int, sample: int) -> list[int]:
    """``sample`` of the positions 0 .. rows - 1, or all where they are no more: one in each of as
    many equal stretches.

    The place inside its stretch changes from one to the next (by the golden ratio), since with
    equal steps a dataset of five versions could show one version only.
    """
    if rows <= sample:
        return list(range(rows))
    positions = []
    for stretch in range(sample):
        start, end = stretch * rows // sample, (stretch + 1) * rows // sample
        positions.append(start + int((stretch * 0.6180339887498949) % 1 * (end - start)))
    return positions
