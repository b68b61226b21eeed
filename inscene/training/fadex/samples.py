"""What FaDeX can be trained on: faces of a dataset, pairs, or photographs that are degraded on the
way."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inscene.dataset.parquet import read_group
from inscene.dataset.row_reader import open_file
from inscene.dataset.sources import Input, list_inputs
from inscene.errors import UsageError
from inscene.seeds import derive_key
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.order import CrossedGroups, DrawnGroups, LabelledGroups

Kind = Literal["face-pairs", "pairs", "photos"]
IMAGES: dict[Kind, tuple[str, ...]] = {
    "face-pairs": ("lq_face", "hq_face", "gt_face"),
    "pairs": ("lq", "hq"),
    "photos": ("image",),
}
"""Columns that are read."""
CLEAN: dict[Kind, str] = {"face-pairs": "gt_face", "pairs": "hq", "photos": "image"}
Groups = LabelledGroups | DrawnGroups | CrossedGroups


@dataclass(frozen=True)
class Sample:
    """One image, or one of its stored degradations."""

    entry: Input
    content: str
    """Names the image, whatever was done to it."""
    operator: str | None
    """What degraded it; None for photographs."""


@dataclass(frozen=True)
class Samples:
    kind: Kind
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    """One of each image that is held back."""

    def states(self) -> list[str]:
        """Changes when any image does: a resumed run must not mix old and new."""
        return [
            f"{one.entry.id} {one.entry.state} {one.operator or ''}"
            for one in (*self.train, *self.validation)
        ]

    def groups(self, recipe: FadexRecipe) -> Groups:
        """Raises ``UsageError`` where no operator has two images, or there are too few images."""
        size, per_batch, seed = recipe.images, recipe.operators, recipe.seed
        try:
            if self.kind != "photos":
                names = sorted({one.operator for one in self.train if one.operator})
                numbers = {name: number for number, name in enumerate(names)}
                labels = [numbers[one.operator] for one in self.train if one.operator]
                contents = [one.content for one in self.train]
                return LabelledGroups(labels, contents, size, per_batch, seed)
            kind = CrossedGroups if recipe.data.same_images else DrawnGroups
            return kind(len(self.train), size, per_batch, seed)
        except ValueError as error:
            raise UsageError(
                "FaDeX cannot be trained on these images",
                why=f"{str(error)[0].upper()}{str(error)[1:]}.",
                next_step="Photographs: give more, or set images to fewer. Pairs: their operators "
                "must be shared between images: inscene degrade --operator-pool auto.",
            ) from error


def list_samples(sources: Sequence[str], recipe: FadexRecipe, limit: int | None = None) -> Samples:
    """Raises ``UsageError`` for sources that cannot be used, are of two kinds, or have too few
    images. Rows of the split ``test`` are left alone."""
    inputs = list_inputs(sources)[:limit]
    kind = _kind(inputs, sources)
    samples = _named(inputs) if kind != "photos" else [Sample(one, one.id, None) for one in inputs]
    held = _held_back(samples, recipe, sources)
    train = tuple(
        one for one in samples if one.content not in held and one.entry.split not in ("val", "test")
    )
    first: dict[str, Sample] = {}
    for one in samples:
        first.setdefault(one.content, one)
    return Samples(kind, train, tuple(first[content] for content in held))


def _kind(inputs: Sequence[Input], sources: Sequence[str]) -> Kind:
    kinds: set[Kind] = {
        "face-pairs"
        if one.has("lq_face") and one.has("hq_face")
        else "pairs"
        if one.has("lq")
        else "photos"
        for one in inputs
    }
    if len(kinds) > 1:
        raise UsageError(
            f"are of different kinds: {', '.join(sorted(kinds))}",
            where=", ".join(sources),
            next_step="Train on one of them.",
        )
    return kinds.pop()


def _held_back(
    samples: Sequence[Sample], recipe: FadexRecipe, sources: Sequence[str]
) -> tuple[str, ...]:
    """Contents for validation, in an order of the seed."""
    own = {one.content for one in samples if one.entry.split == "val"}
    free = {one.content for one in samples if one.entry.split not in ("val", "test")} - own
    pool, wanted = own, recipe.validation.images
    if len(own) < 2:
        pool, wanted = own | free, min(wanted, max(2, len(free) // 10))
    order = sorted(pool, key=lambda one: derive_key(recipe.seed, "hold back", one))
    held = tuple(order[:wanted])
    if len(held) < 2 or len(free - set(held)) < 2:
        raise UsageError(
            f"{len(own | free)} images are too few",
            where=", ".join(sources),
            why="Two at least are held back for validation, and two trained on.",
            next_step="Give more images.",
        )
    return held


def _named(inputs: Sequence[Input]) -> list[Sample]:
    """Stored pairs with their operators. Raises ``UsageError`` where a table does not name them."""
    names: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for file in sorted({one.file for one in inputs}):
        reading = next(one.reading for one in inputs if one.file == file)
        named = {"sample_id": "sample_id", "operator_id": "operator_id"}
        if reading is not None:
            named = {ours: reading.find(ours) or ours for ours in named}
        if all(one.row_group < 0 for one in inputs if one.file == file):
            raise _no_operators(file)
        with contextlib.closing(open_file(file)) as parquet:
            if named["operator_id"] not in parquet.schema_arrow.names:
                raise _no_operators(file)
            present = [one for one in named.values() if one in parquet.schema_arrow.names]
            for group in range(parquet.num_row_groups):
                columns: dict[str, list[Any]] = read_group(parquet, group, present).to_pydict()
                operators = columns[named["operator_id"]]
                ids = columns.get(named["sample_id"]) or [None] * len(operators)
                names[file, group] = list(zip(ids, operators, strict=True))
    samples = []
    for one in inputs:
        content, operator = names[one.file, one.row_group][one.row]
        if not operator:
            raise _no_operators(one.file)
        # With the name of its source, where there are several.
        head, found, _ = one.id.partition(content or one.id)
        samples.append(Sample(one, head + found, operator))
    return samples


def _no_operators(file: str) -> UsageError:
    return UsageError(
        "does not say which degradation each pair has: no operator_id",
        where=file,
        why="FaDeX learns from pairs that share one.",
        next_step="Make pairs with inscene degrade --operator-pool auto, or give clean photos.",
    )
