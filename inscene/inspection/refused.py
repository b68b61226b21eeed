"""What a run refused: every drop's scores, and some of each reason to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from inscene.dataset.distribution import Gathering, spread
from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import read_present
from inscene.inspection.pictures import Picture, stored_thumbnail

_SMALL = ("step", "kind", "reason", "scores", "identity")
_WHOLE = ("sample_id", "detail", "scores", "identity", "thumbnail")

Why = tuple[str, str, str]
"""Step, kind (drop or error), reason."""


@dataclass
class Refused:
    """Of all finished shards."""

    places: dict[Why, list[tuple[str, int]]] = field(default_factory=dict)
    """File and row of each."""
    scores: dict[str, Gathering] = field(default_factory=dict)
    people: Counter[str] = field(default_factory=Counter)
    """Person -> refused samples, where the input has a label."""


def read_refused(ledger: Ledger) -> Refused:
    found = Refused()
    for shard, record in ledger.records():
        if record is None:
            continue
        for place, row in enumerate(_rows(ledger, shard.drops_file, _SMALL)):
            why = (row["step"], row["kind"], row["reason"])
            found.places.setdefault(why, []).append((shard.drops_file, place))
            if row.get("identity"):
                found.people[row["identity"]] += 1
            for name, value in (row.get("scores") or {}).items():
                if value is not None:
                    found.scores.setdefault(name, Gathering()).add(value)
    return found


def refused_pictures(
    ledger: Ledger, places: Sequence[tuple[str, int]], most: int
) -> Iterator[Picture]:
    """At most so many of these, evenly spread."""
    wanted: dict[str, list[int]] = {}
    for position in spread(len(places), most):
        file, row = places[position]
        wanted.setdefault(file, []).append(row)
    for file, rows in wanted.items():
        yield from map(stored_thumbnail, _rows(ledger, file, _WHOLE, rows))


def _rows(
    ledger: Ledger, file: str, columns: Sequence[str], only: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    table = read_present(ledger.store, file, columns)
    rows: list[dict[str, Any]] = (table if only is None else table.take(list(only))).to_pylist()
    return rows
