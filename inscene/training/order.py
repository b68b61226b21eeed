"""Which samples are in which step, as a function of the seed and the step alone.

Nothing is kept between steps: a resumed run, another number of workers and a second look at a batch
all get what the first run got.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from inscene.seeds import derive_key


def permutation(count: int, *key: str | int) -> tuple[int, ...]:
    """0 … count-1 in an order that only the key decides."""
    # Raw output of a bit generator is the same in every version of NumPy; a Generator's
    # permutations are not promised to be.
    seed = int.from_bytes(derive_key("order", *key), "little")
    raw = np.random.Philox(key=seed).random_raw(count)
    return tuple(np.argsort(raw, kind="stable").tolist())


T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Which samples of each step one of several workers has: a stretch of them."""

    rank: int = 0
    ranks: int = 1

    def start(self, count: int, unit: int = 1) -> int:
        """The first of ``count`` samples that is this worker's. Samples are handed out in blocks of
        ``unit``."""
        return min(count, self.rank * -(-count // unit) // self.ranks * unit)

    def of(self, samples: Sequence[T], unit: int = 1) -> Sequence[T]:
        after = Share(self.rank + 1, self.ranks)
        return samples[self.start(len(samples), unit) : after.start(len(samples), unit)]


WHOLE = Share()


@dataclass(frozen=True)
class Drawn:
    """One sample of a step."""

    index: int
    epoch: int
    """How often it was seen before: with the index, the key of all draws for it."""


class Order:
    """Batches of ``batch`` of ``items`` samples: epoch upon epoch without a gap, so that a batch
    may hold the end of one and the beginning of the next."""

    def __init__(self, items: int, batch: int, seed: int) -> None:
        if items < 1 or batch < 1:
            raise ValueError(f"at least one item and a batch of one, got {items} and {batch}")
        self.items, self.batch, self.seed = items, batch, seed

    def drawn(self, step: int) -> tuple[Drawn, ...]:
        """The samples of step ``step``, from 0."""
        places = range(step * self.batch, (step + 1) * self.batch)
        found = (divmod(place, self.items) for place in places)
        return tuple(Drawn(_permuted(self.items, self.seed, e)[i], e) for e, i in found)

    def indices(self, step: int) -> tuple[int, ...]:
        return tuple(one.index for one in self.drawn(step))

    def steps(self, epochs: int) -> int:
        """Steps that show every sample ``epochs`` times."""
        return -(-epochs * self.items // self.batch)


@functools.lru_cache(maxsize=4)  # the epoch at hand, and the next where a batch spans both
def _permuted(items: int, seed: int, epoch: int) -> tuple[int, ...]:
    return permutation(items, seed, epoch)


@dataclass(frozen=True)
class Group:
    """Samples of one step that share an operator and show different contents."""

    indices: tuple[int, ...]
    epoch: int
    label: int
    """Of the operator: the same number for the same operator, in every step."""


class DrawnGroups:
    """Groups of ``size`` items for operators that are drawn on the fly, a new one for each group.

    An epoch is one permutation of the items cut into groups; what is left over waits for the next.
    """

    def __init__(self, items: int, size: int, per_batch: int, seed: int) -> None:
        if not 2 <= size <= items or per_batch < 1:
            raise ValueError(
                f"groups of 2 to {items} of {items} items and one group a batch at least, "
                f"got groups of {size} and {per_batch} a batch"
            )
        self.items, self.size, self.per_batch, self.seed = items, size, per_batch, seed

    @property
    def per_epoch(self) -> int:
        return self.items // self.size

    def groups(self, step: int) -> tuple[Group, ...]:
        places = range(step * self.per_batch, (step + 1) * self.per_batch)
        return tuple(self._group(place) for place in places)

    def _group(self, place: int) -> Group:
        epoch, at = divmod(place, self.per_epoch)
        order = _permuted(self.items, self.seed, epoch)
        return Group(order[at * self.size : (at + 1) * self.size], epoch, place)

    def steps(self, epochs: int) -> int:
        return -(-epochs * self.per_epoch // self.per_batch)


class CrossedGroups:
    """``size`` items a step, the same ones in each of its ``per_batch`` groups: every image under
    every operator, so that nothing but the operator tells one group from another."""

    def __init__(self, items: int, size: int, per_batch: int, seed: int) -> None:
        self._one = DrawnGroups(items, size, 1, seed)
        self.per_batch = per_batch

    @property
    def per_epoch(self) -> int:
        return self._one.per_epoch * self.per_batch

    def groups(self, step: int) -> tuple[Group, ...]:
        (shared,) = self._one.groups(step)
        first = step * self.per_batch
        return tuple(
            Group(shared.indices, shared.epoch, first + number) for number in range(self.per_batch)
        )

    def steps(self, epochs: int) -> int:
        return self._one.steps(epochs)


class LabelledGroups:
    """Groups of items whose operators are given: at most ``size`` of one operator, at least two,
    each of another content. Items whose operator has no second content are never shown."""

    def __init__(
        self,
        labels: Sequence[int],
        contents: Sequence[Hashable],
        size: int,
        per_batch: int,
        seed: int,
    ) -> None:
        if size < 2 or per_batch < 1:
            raise ValueError(f"groups of two at least, got {size}; {per_batch} a batch")
        if len(labels) != len(contents):
            raise ValueError(f"{len(labels)} labels for {len(contents)} contents")
        self.size, self.per_batch, self.seed = size, per_batch, seed
        members: dict[int, list[int]] = {}
        for index, label in enumerate(labels):
            members.setdefault(label, []).append(index)
        self._contents = contents
        self._members = {
            label: indices
            for label, indices in sorted(members.items())
            if len({contents[index] for index in indices}) > 1
        }
        if not self._members:
            raise ValueError("no operator has two contents: nothing can be compared")
        self._cuts: dict[int, tuple[Group, ...]] = {}

    @property
    def operators(self) -> int:
        """How many can be learned from."""
        return len(self._members)

    @property
    def per_epoch(self) -> int:
        return len(self._epoch(0))

    def groups(self, step: int) -> tuple[Group, ...]:
        places = range(step * self.per_batch, (step + 1) * self.per_batch)
        found = (divmod(place, self.per_epoch) for place in places)
        seen: set[tuple[int, Hashable]] = set()
        groups = []
        for group in (self._epoch(epoch)[at] for epoch, at in found):
            # Two groups of one operator, from two epochs, may show one content: that the second
            # shows it again would make a positive of what is the same picture.
            keys = {index: (group.label, self._contents[index]) for index in group.indices}
            if kept := tuple(index for index, key in keys.items() if key not in seen):
                groups.append(Group(kept, group.epoch, group.label))
            seen.update(keys.values())
        return tuple(groups)

    def steps(self, epochs: int) -> int:
        return -(-epochs * self.per_epoch // self.per_batch)

    def _epoch(self, epoch: int) -> tuple[Group, ...]:
        if epoch not in self._cuts:
            if len(self._cuts) > 1:  # the epoch at hand, and the next where a batch spans both
                self._cuts.clear()
            self._cuts[epoch] = self._cut(epoch)
        return self._cuts[epoch]

    def _cut(self, epoch: int) -> tuple[Group, ...]:
        groups = []
        for label, indices in self._members.items():
            shuffled = [indices[i] for i in permutation(len(indices), self.seed, epoch, label)]
            # One item a content: the first by this epoch's order.
            once = list({self._contents[index]: index for index in reversed(shuffled)}.values())
            for start in range(0, len(once), self.size):
                part = once[start : start + self.size]
                if len(part) > 1:
                    groups.append(Group(tuple(part), epoch, label))
        order = permutation(len(groups), self.seed, epoch, "groups")
        return tuple(groups[at] for at in order)
