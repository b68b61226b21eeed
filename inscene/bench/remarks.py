"""What a method said of its outputs, over a whole run."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass

from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import read_columns
from inscene.dataset.store import open_store


@dataclass(frozen=True)
class Remarks:
    notes: dict[str, int]
    """Note -> how many outputs have it."""
    stage_s: dict[str, float]
    """Stage of the method -> median wall seconds of the outputs that went through it, in the order
    in which they were gone through."""


def remarks_of(location: str) -> Remarks:
    """Of the restored images at a place; empty where the method says nothing."""
    store = open_store(location)
    notes: Counter[str] = Counter()
    seconds: dict[str, list[float]] = {}
    for shard in Ledger(store).shards():
        for row in read_columns(store, shard.data_file, ["notes", "stage_s"]).to_pylist():
            notes.update(row.get("notes") or ())
            for stage in row.get("stage_s") or ():
                seconds.setdefault(stage["stage"], []).append(stage["seconds"])
    return Remarks(
        dict(sorted(notes.items(), key=lambda item: (-item[1], item[0]))),
        {stage: statistics.median(values) for stage, values in seconds.items()},
    )
