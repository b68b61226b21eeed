"""All that a page says of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inscene.dataset.distribution import Distribution, Numbers, spread
from inscene.dataset.funnel import Funnel, funnel
from inscene.dataset.inspect import Gathered, Table, gather
from inscene.dataset.ledger import Ledger
from inscene.dataset.store import open_store
from inscene.errors import InsceneError
from inscene.inspection.histogram import Histogram, Values, histogram
from inscene.inspection.limits import Limit, limits_of
from inscene.inspection.pictures import Picture, kept_pictures
from inscene.inspection.refused import Refused, Why, read_refused, refused_pictures
from inscene.inspection.words import title_of
from inscene.synthetic.tags.cloud import TagCounts, count_tags

KEPT_PICTURES = 60
REFUSED_PICTURES = 24
"""Of each reason."""

_NONE: Values = np.empty(0)


@dataclass(frozen=True)
class Measure:
    """One score: how it is distributed, and what it had to be."""

    name: str
    title: str
    about: str
    kept: Values
    refused: Values
    limits: tuple[Limit, ...]

    @property
    def bins(self) -> Histogram:
        return histogram(self.kept, self.refused, [limit.value for limit in self.limits])


@dataclass(frozen=True)
class RefusedSheet:
    why: Why
    count: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Report:
    name: str
    found: Gathered
    funnel: Funnel | None
    """None where there is no record of a run, as of a download."""
    steps: tuple[str, ...]
    """In the order in which inputs pass them, closing steps last."""
    fingerprint: Mapping[str, Any]
    recipe_hash: str
    measures: tuple[Measure, ...]
    kept: tuple[Picture, ...]
    refused: tuple[RefusedSheet, ...]
    refused_people: Mapping[str, int]
    tags: TagCounts | None
    drawn: Mapping[str, Numbers] = field(default_factory=dict)
    """Of pairs: what was drawn for their operators, and the PSNR of their LQ images."""


def report(table: Table, drawn: Mapping[str, Distribution] | None = None) -> Report:
    """Reads the small columns of every row, and decodes the images of the sheets."""
    found = gather(table)
    ledger = _ledger_of(table)
    fingerprint = ledger.fingerprint() if ledger else {}
    refused = read_refused(ledger) if ledger else Refused()
    limits = limits_of(fingerprint.get("steps", ()))
    steps = [str(step["step"]) for step in fingerprint.get("steps", ())]
    steps += ledger.closing_steps() if ledger else ()
    positions = spread(found.survey.rows, KEPT_PICTURES)
    tags = None
    if found.tagged:
        tags = count_tags(table.rows(("sample_id", "tags")))
    return Report(
        name=_name(table.location),
        found=found,
        funnel=funnel(ledger.store.root) if ledger else None,
        steps=tuple(steps),
        fingerprint=fingerprint,
        recipe_hash=ledger.recipe_hash() if ledger else "",
        measures=tuple(_measures(found, refused, limits)),
        kept=tuple(kept_pictures(table, positions)),
        refused=tuple(_sheets(ledger, refused, steps)) if ledger else (),
        refused_people=dict(refused.people),
        tags=tags,
        drawn=_that_vary(drawn or {}),
    )


def _ledger_of(table: Table) -> Ledger | None:
    """A single Parquet file of a dataset is looked at alone: its run is not its own."""
    if table.location.endswith(".parquet"):
        return None
    ledger = Ledger(open_store(table.location))
    try:
        return ledger if ledger.exists() else None
    except InsceneError:
        return None


def _name(location: str) -> str:
    return location.rstrip("/").rpartition("/")[2] or location


def _measures(found: Gathered, refused: Refused, limits: Sequence[Limit]) -> list[Measure]:
    """Scores with thresholds first, in the order of the steps; then the others by name."""
    columns = {name.removeprefix("scores."): name for name in found.values}
    dropped = {name: one.values() for name, one in refused.scores.items()}
    ranked = {limit.score: place for place, limit in reversed(list(enumerate(limits)))}
    measures = []
    for score in sorted({*columns, *dropped}, key=lambda one: (ranked.get(one, len(limits)), one)):
        kept = found.values.get(columns.get(score, ""), _NONE)
        lost = dropped.get(score, _NONE)
        if score in ("width", "height") and len(set(kept)) < 2:
            continue  # one size for all: said among the counts
        if not len(kept) + len(lost):
            continue
        title, about = title_of(columns.get(score, score))
        bounds = tuple(limit for limit in limits if limit.score == score)
        measures.append(Measure(score, title, about, kept, lost, bounds))
    return measures


def _sheets(ledger: Ledger, refused: Refused, steps: Sequence[str]) -> list[RefusedSheet]:
    """In the order of the funnel: by step, the most frequent reason first."""
    order = ["read", *steps]

    def rank(why: Why) -> tuple[int, int, str]:
        place = order.index(why[0]) if why[0] in order else len(order)
        return place, -len(refused.places[why]), why[2]

    return [
        RefusedSheet(
            why,
            len(refused.places[why]),
            tuple(refused_pictures(ledger, refused.places[why], REFUSED_PICTURES)),
        )
        for why in sorted(refused.places, key=rank)
    ]


def _that_vary(drawn: Mapping[str, Distribution]) -> dict[str, Numbers]:
    return {
        name: values.numbers
        for name, values in drawn.items()
        if values.numbers is not None and values.numbers.min < values.numbers.max
    }
