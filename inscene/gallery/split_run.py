"""A dataset written anew in splits: the plan, and the step that leaves every row as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from inscene.dataset.inspect import open_table
from inscene.dataset.ledger import Ledger
from inscene.dataset.sources import list_inputs
from inscene.dataset.tombstones import tombstones_of_source
from inscene.engine.registry import BuiltRecipe
from inscene.engine.rows import Call, Keep, Row
from inscene.engine.run import Plan, must_differ, plan_inputs
from inscene.engine.step import Step, StepContext
from inscene.errors import UsageError, VerificationError
from inscene.gallery.components import Component, Sample, Tie, components, read_samples, ties
from inscene.gallery.duplicates import MAX_DISTANCE, Bits
from inscene.gallery.splits import (
    Fractions,
    Listing,
    by_hash,
    by_listing,
    check_apart,
    counts,
    read_listing,
    split_of_sample,
)
from inscene.recipe import content_hash

STEP = "assign_split"
KINDS = ("scenes", "pairs")
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class AssignSplit(Step):
    """Leaves a row as it is; the plan has put it into its split."""

    val: Share = 0.1
    """Share of the people, and of samples without one, for validation."""
    test: Share = 0.1
    """The same for tests; training has what these leave."""
    max_distance: Bits | None = MAX_DISTANCE
    """Bits of ``phash`` that may differ between samples that must not be apart; null: only equal
    ones are kept together."""
    others: str | None = None
    """With a listing: the split of those whom it does not name."""
    listing: str | None = None
    """Hash of a listing, which then decides in place of the shares."""
    source_run: Mapping[str, Any] | None = None
    """Fingerprint of the run that made the rows."""

    copies: ClassVar[bool] = True

    def setup(self, context: StepContext) -> Call:
        return lambda rows: [Keep((_with_own_id(row),)) for row in rows]

    @property
    def fractions(self) -> Fractions:
        train = round(1 - self.val - self.test, 12)
        return Fractions.of({"train": train, "val": self.val, "test": self.test})


def _with_own_id(row: Row) -> Row:
    """The engine names inputs by sample and version, and the version is a column."""
    if (version := row.columns.get("version")) is not None:
        row.columns["sample_id"] = row.columns["sample_id"].removesuffix(f"@{version}")
    return row


@dataclass(frozen=True)
class SplitPlan:
    """Who goes where."""

    plan: Plan
    samples: Sequence[Sample] = field(repr=False)
    components: Sequence[Component] = field(repr=False)
    ties: Sequence[Tie] = field(repr=False)
    splits: Sequence[str] = field(repr=False)
    """Of each component."""
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        return counts(self.samples, self.components, self.splits)

    def check(self) -> None:
        """Read the written table: everything is where it was to go, and nothing that belongs
        together is apart. Raises :class:`VerificationError`."""
        wanted = split_of_sample(self.samples, self.components, self.splits)
        written: dict[str, str] = {}
        for row in open_table(self.plan.out).rows(("sample_id", "split")):
            name, split = row["sample_id"], row["split"]
            if written.setdefault(name, split) != split or wanted.get(name) != split:
                raise VerificationError(
                    f"has {name!r} in {split!r}, not in {wanted.get(name)!r}", where=self.plan.out
                )
        check_apart(self.samples, self.ties, wanted)


def plan_split(
    location: str,
    out: str,
    built: BuiltRecipe,
    listing: Path | None = None,
    progress: Callable[[], None] = lambda: None,
) -> SplitPlan:
    """``built`` has the step :data:`STEP` alone. Raises :class:`UsageError` for what is no dataset
    of scenes or pairs, and for a listing that contradicts what belongs together."""
    ((_, step),) = built.steps
    assert isinstance(step, AssignSplit)
    must_differ([location], out)
    inputs = list_inputs([location])  # says so where it is unfinished
    table = open_table(location)
    if table.kind not in KINDS or table.readings:
        raise UsageError(
            f"holds {table.kind}" if not table.readings else "was made by another tool",
            where=location,
            next_step="Datasets of scenes and of pairs can be split, made by inscene.",
        )
    step = replace(step, source_run=_run_of(location))
    samples = read_samples(table, hashed=step.max_distance is not None, progress=progress)
    tied = ties(samples, step.max_distance)
    found = components(samples, tied)
    notes: tuple[str, ...] = ()
    if listing is None:
        fractions = step.fractions
        splits = by_hash(found, fractions, built.recipe.seed)
        notes = tuple(_empty(split, splits) for split, _ in fractions.shares if split not in splits)
    else:
        given = read_listing(listing)
        step = replace(
            step, val=0.0, test=0.0, listing=content_hash(sorted(given.split_of.items()))
        )
        splits = by_listing(samples, found, tied, given, step.others)
        notes = _unused(given, samples)
    wanted = split_of_sample(samples, found, splits)
    check_apart(samples, tied, wanted)
    recipe = built.recipe.model_copy(update={"makes": table.kind})
    entries = [replace(one, split=wanted[_sample_id(one.id, wanted)]) for one in inputs]
    plan = plan_inputs(BuiltRecipe(recipe, ((STEP, step),)), entries, out)
    plan = dataclasses.replace(plan, tombstones=tombstones_of_source(location))
    return SplitPlan(plan, samples, found, tied, splits, notes)


def _sample_id(name: str, known: Mapping[str, str]) -> str:
    """Of an input, which may be a version of a sample."""
    return name if name in known else name.rpartition("@")[0]


def _run_of(location: str) -> Mapping[str, Any] | None:
    from inscene.dataset.store import open_store

    ledger = Ledger(open_store(location)) if not location.endswith(".parquet") else None
    return ledger.fingerprint() if ledger is not None and ledger.exists() else None


def _empty(split: str, splits: Sequence[str]) -> str:
    return (
        f"nobody is in {split!r}: with {len(splits)} groups of people, chance may leave a split "
        "empty; take another --seed, or a --list"
    )


def _unused(listing: Listing, samples: Sequence[Sample]) -> tuple[str, ...]:
    here = {sample.identity for sample in samples}
    unused = sorted(name for name in listing.split_of if name not in here)
    if not unused:
        return ()
    return (f"{listing.file}: {len(unused)} of its identities are not here, as {unused[0]!r}",)
