"""Which samples belong together: of one person, or showing the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inscene import images
from inscene.dataset.inspect import Table
from inscene.errors import SampleError
from inscene.gallery.hamming import BKTree
from inscene.gallery.phash import as_int, phash


@dataclass(frozen=True)
class Sample:
    """What of a sample ties it to others. None ties it to nobody."""

    id: str
    identity: str | None = None
    sha256: str | None = None
    pixels_sha256: str | None = None
    phash: str | None = None


@dataclass(frozen=True)
class Tie:
    """Two samples that must be in one split, and why."""

    one: int
    other: int
    why: str


@dataclass(frozen=True)
class Component:
    members: tuple[int, ...]
    """Places among the samples, in their order."""
    name: str
    """Does not change when photos of the same person come or go: the smallest identity, or where
    there is none the smallest sample id."""
    identities: tuple[str, ...]


_SMALL = ("sample_id", "identity", "sha256", "pixels_sha256", "phash")


def read_samples(
    table: Table, *, hashed: bool, progress: Callable[[], None] = lambda: None
) -> list[Sample]:
    """Of every sample one, sorted by id, whatever the number of its versions.

    With ``hashed``, a sample whose row has no ``phash`` gets that of its stored clean image, which
    is decoded for it; ``progress`` is told of each of these.
    """
    found: dict[str, Sample] = {}
    bare: dict[str, int] = {}
    for place, row in enumerate(table.rows(_SMALL)):
        name = row["sample_id"]
        if name not in found:
            found[name] = Sample(name, *(row.get(column) for column in _SMALL[1:]))
            if found[name].phash is None:
                bare[name] = place
    if hashed and bare:
        image = "hq" if table.kind == "pairs" else "image"
        for row in table.rows_at(sorted(bare.values()), ("sample_id", image)):
            sample = found[row["sample_id"]]
            found[sample.id] = _hashed(sample, row.get(image))
            progress()
    return [found[name] for name in sorted(found)]


def _hashed(sample: Sample, cell: Mapping[str, Any] | None) -> Sample:
    try:
        pixels = images.decode((cell or {}).get("bytes") or b"").pixels
    except SampleError:
        return sample
    return Sample(
        sample.id, sample.identity, sample.sha256, images.pixel_hash(pixels), phash(pixels)
    )


def ties(samples: Sequence[Sample], max_distance: int | None) -> list[Tie]:
    """Enough of them to hold every component together; not all pairs of a large group."""
    found: list[Tie] = []
    for column, why in (
        ("identity", "one person"),
        ("sha256", "the same file"),
        ("pixels_sha256", "the same pixels"),
    ):
        first: dict[str, int] = {}
        for place, sample in enumerate(samples):
            value = getattr(sample, column)
            if value is not None and first.setdefault(value, place) != place:
                found.append(Tie(first[value], place, why))
    return found + ([] if max_distance is None else _near(samples, max_distance))


def _near(samples: Sequence[Sample], max_distance: int) -> list[Tie]:
    found = []
    first: dict[str, int] = {}
    tree = BKTree()
    for place, sample in enumerate(samples):
        if sample.phash is None:
            continue
        if (same := first.setdefault(sample.phash, place)) != place:
            found.append(Tie(same, place, "0 of 64 bits differ"))
            continue
        bits = as_int(sample.phash)
        for distance, other in sorted(tree.within(bits, max_distance)):
            found.append(Tie(other, place, f"{distance} of 64 bits differ"))
        tree.add(bits, place)
    return found


def components(samples: Sequence[Sample], tied: Iterable[Tie]) -> list[Component]:
    """By their first members."""
    parent = list(range(len(samples)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for tie in tied:
        one, other = sorted((root(tie.one), root(tie.other)))
        parent[other] = one
    groups: dict[int, list[int]] = {}
    for place in range(len(samples)):
        groups.setdefault(root(place), []).append(place)
    return [_component(samples, members) for members in groups.values()]


def _component(samples: Sequence[Sample], members: Sequence[int]) -> Component:
    of_people = {samples[place].identity for place in members}
    people = tuple(sorted(name for name in of_people if name is not None))
    return Component(tuple(members), min(people, default=samples[members[0]].id), people)


def path(tied: Iterable[Tie], starts: Iterable[int], ends: Iterable[int]) -> list[Tie]:
    """A shortest way from one of the starts to one of the ends: why they belong together."""
    beside: dict[int, list[Tie]] = {}
    for tie in tied:
        beside.setdefault(tie.one, []).append(tie)
        beside.setdefault(tie.other, []).append(tie)
    wanted = set(ends)
    came: dict[int, tuple[int, Tie] | None] = dict.fromkeys(starts)
    waiting = sorted(came)
    for place in waiting:
        if place in wanted:
            way: list[Tie] = []
            while (step := came[place]) is not None:
                place = step[0]
                way.insert(0, step[1])
            return way
        for tie in beside.get(place, ()):
            other = tie.other if tie.one == place else tie.one
            if other not in came:
                came[other] = (place, tie)
                waiting.append(other)
    return []
