"""Randomness that depends on what is made, never on who makes it or when.

A draw is a pure function of a key and a name, so that worker count, order, restarts and draws added
later change nothing. BLAKE2b is the counter-based generator: keyed, in the standard library, and
about a microsecond a draw.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def derive_key(*parts: str | int | bytes) -> bytes:
    """Hash the parts, each with its type and length, into a 16-byte key."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        digest.update(f"{type(part).__name__}:{len(raw)}:".encode())
        digest.update(raw)
    return digest.digest()


class Draws:
    """Named random draws under one key.

    The same name gives the same number each time: give every parameter a name of its own.
    """

    def __init__(self, *parts: str | int | bytes) -> None:
        self.key = derive_key(*parts)

    def _bits64(self, name: str) -> int:
        digest = hashlib.blake2b(name.encode(), digest_size=8, key=self.key).digest()
        return int.from_bytes(digest, "little")

    def unit(self, name: str) -> float:
        """Uniform in [0, 1), 53 bits."""
        return (self._bits64(name) >> 11) * 2.0**-53

    def uniform(self, name: str, low: float, high: float) -> float:
        return low + (high - low) * self.unit(name)

    def coin(self, name: str, probability: float) -> bool:
        """True with the given probability."""
        return self.unit(name) < probability

    def choice(self, name: str, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options; ``weights`` need not sum to one."""
        cumulative = list(itertools.accumulate(weights or [1.0] * len(options)))
        if len(cumulative) != len(options) or not cumulative or cumulative[-1] <= 0:
            raise ValueError(f"{name}: {len(options)} options need as many positive weights")
        position = self.unit(name) * cumulative[-1]
        return options[min(bisect.bisect_right(cumulative, position), len(options) - 1)]

    def seed(self, name: str) -> int:
        """A 63-bit seed for a generator of its own (63 bits fit Parquet's and torch's int64)."""
        return self._bits64(name) >> 1
