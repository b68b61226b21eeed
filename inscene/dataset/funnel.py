"""Where a dataset's inputs went: kept, or refused by which step and why."""

from __future__ import annotations

from dataclasses import dataclass

from inscene.dataset.closing import still_to_do
from inscene.dataset.ledger import Ledger
from inscene.dataset.store import open_store


@dataclass(frozen=True)
class Loss:
    """Inputs that ended at one step for one reason."""

    step: str
    kind: str
    """drop or error."""
    reason: str
    count: int


@dataclass(frozen=True)
class Funnel:
    inputs: int
    kept: int
    rows: int
    unfinished: int
    """Inputs of shards that are still to do."""
    losses: tuple[Loss, ...]
    closing: tuple[str, ...] = ()
    """Closing steps that are still to do."""


def funnel(location: str) -> Funnel:
    """Add up the completion records; no image is read."""
    ledger = Ledger(open_store(location))
    steps = [step["step"] for step in ledger.fingerprint()["steps"]]
    order = ["read", *steps, *ledger.closing_steps()]
    counts: dict[tuple[str, str, str], int] = {}
    inputs = kept = rows = unfinished = 0
    for shard, record in ledger.records():
        inputs += len(shard.inputs)
        if record is None:
            unfinished += len(shard.inputs)
            continue
        kept += record.kept
        rows += record.rows
        for kind, reasons in (("drop", record.dropped), ("error", record.errors)):
            for place, count in reasons.items():
                step, _, reason = place.partition("/")
                key = (step, kind, reason)
                counts[key] = counts.get(key, 0) + count

    def rank(key: tuple[str, str, str]) -> tuple[int, int, str]:
        step, _, reason = key
        return (order.index(step) if step in order else len(order), -counts[key], reason)

    losses = tuple(Loss(*key, counts[key]) for key in sorted(counts, key=rank))
    to_close = tuple(ledger.closing_steps()) if still_to_do(ledger) else ()
    return Funnel(inputs, kept, rows, unfinished, losses, to_close)
