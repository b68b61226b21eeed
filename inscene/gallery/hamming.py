"""Which 64-bit hashes are within a few bits of each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

LEAF = 16384
"""Hashes that a leaf holds before it is divided. [chosen] 100,000 hashes within 6 bits took 33 s
on a busy machine, with 4096 45 s, without a tree 76 s. So near a radius leaves little of 64 bits to
skip, and comparing an array is quick: with leaves of two, 20,000 took 271 s."""

Found: TypeAlias = tuple[int, int]
"""Distance, and the number that the hash was added with."""


class BKTree:
    """A BK-tree, whose leaves are arrays that are looked through at once.

    A node divides hashes by their distance from its pivot; by the triangle inequality, those within
    ``d`` of a hash at distance ``p`` from the pivot are between ``p - d`` and ``p + d`` from it.
    """

    def __init__(self, leaf: int = LEAF) -> None:
        self._leaf = max(2, leaf)
        self._root: _Leaf | _Node = _Leaf()

    def add(self, bits: int, number: int) -> None:
        parent, distance, at = None, -1, self._root
        while isinstance(at, _Node):
            parent, distance = at, (at.pivot ^ bits).bit_count()
            at = at.children.setdefault(distance, _Leaf())
        at.add(bits, number)
        # At distance 0 of a pivot all are the same: there is nothing to divide.
        if at.count > self._leaf and distance != 0:
            divided = _divided(at)
            if parent is None:
                self._root = divided
            else:
                parent.children[distance] = divided

    def within(self, bits: int, distance: int) -> Iterator[Found]:
        """All at most so many bits away, in no order."""
        nodes = [self._root]
        while nodes:
            at = nodes.pop()
            if isinstance(at, _Leaf):
                yield from at.within(bits, distance)
                continue
            away = (at.pivot ^ bits).bit_count()
            nodes += [
                child for to_pivot, child in at.children.items() if abs(to_pivot - away) <= distance
            ]


class _Leaf:
    def __init__(self) -> None:
        self.bits = np.zeros(8, np.uint64)
        self.numbers = np.zeros(8, np.int64)
        self.count = 0

    def add(self, bits: int, number: int) -> None:
        if self.count == len(self.bits):
            self.bits = np.resize(self.bits, 2 * self.count)
            self.numbers = np.resize(self.numbers, 2 * self.count)
        self.bits[self.count], self.numbers[self.count] = bits, number
        self.count += 1

    def within(self, bits: int, distance: int) -> Iterator[Found]:
        away = distances(self.bits[: self.count], bits)
        for place in np.flatnonzero(away <= distance):
            yield int(away[place]), int(self.numbers[place])


class _Node:
    def __init__(self, pivot: int) -> None:
        self.pivot = pivot
        self.children: dict[int, _Leaf | _Node] = {}


def _divided(leaf: _Leaf) -> _Node:
    node = _Node(int(leaf.bits[0]))
    for bits, number in zip(leaf.bits[: leaf.count], leaf.numbers[: leaf.count], strict=True):
        child = node.children.setdefault((node.pivot ^ int(bits)).bit_count(), _Leaf())
        assert isinstance(child, _Leaf)
        child.add(int(bits), int(number))
    return node


def distances(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.uint8]:
    """Bits that differ."""
    found: NDArray[np.uint8] = np.bitwise_count(hashes ^ np.uint64(bits))
    return found
