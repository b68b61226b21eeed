"""What is done when all shards are done: some samples are dropped because of others.

run/closing.json          what was decided: written first, removed last
run/closing/SHARD.json    the record that a shard will have: written before its files change

Afterwards every record says ``closed``; until all of them do, the dataset is unfinished. What was
decided can be decided again at any time: the drops table keeps what the decision is made from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inscene import images
from inscene.dataset.ledger import Ledger
from inscene.dataset.rewrite import (
    Rewriting,
    Row,
    inputs_by_row,
    keys_of,
    record_of,
    rewrite,
    rows_of,
)
from inscene.dataset.shards import THUMBNAIL_PX, Shard
from inscene.dataset.store import Store
from inscene.errors import SampleError, VerificationError
from inscene.schema import DROPS, KINDS, TableKind

DECISION = "run/closing.json"

_LIKE = ": "

Closed = Callable[[int], None]
"""Told of each shard that is closed, with the number of its inputs that were dropped."""


@dataclass(frozen=True)
class ClosingDrop:
    """Why an input leaves the table."""

    reason: str
    detail: str
    like: str
    """The input because of which it leaves: it ends the drop's detail. When it is forgotten, so is
    what was like it."""

    @property
    def sentence(self) -> str:
        return f"{self.detail}{_LIKE}{self.like}"


def named_in(detail: str | None) -> Iterator[str]:
    """What may be the id at the end of a drop's detail; an id may itself hold a colon."""
    parts = (detail or "").split(_LIKE)
    for first in range(1, len(parts)):
        yield _LIKE.join(parts[first:])


@dataclass(frozen=True)
class Decision:
    """By step, in the order of the recipe: input -> why it leaves."""

    drops: tuple[tuple[str, Mapping[str, ClosingDrop]], ...]

    def to_json(self) -> bytes:
        facts = [
            {"step": step, "drops": {name: asdict(drops[name]) for name in sorted(drops)}}
            for step, drops in self.drops
        ]
        return (json.dumps(facts, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Decision:
        return cls(
            tuple(
                (one["step"], {name: ClosingDrop(**drop) for name, drop in one["drops"].items()})
                for one in json.loads(content)
            )
        )

    def of(self, names: Iterable[str]) -> dict[str, tuple[str, ClosingDrop]]:
        """Those of these inputs that leave, with the step that says so."""
        wanted = set(names)
        return {
            name: (step, drop)
            for step, drops in self.drops
            for name, drop in drops.items()
            if name in wanted
        }


def is_begun(store: Store) -> bool:
    return store.size(DECISION) is not None


def still_to_do(ledger: Ledger) -> bool:
    """Whether the dataset waits for closing steps, now or when its shards are done."""
    if not ledger.closing_steps():
        return False
    closed = all(record is not None and record.closed for _, record in ledger.records())
    return not closed or is_begun(ledger.store)


def rows_to_close(ledger: Ledger, columns: Sequence[str]) -> Iterator[Row]:
    """The columns of all rows that the steps of the shards kept, with their ``input``; those that
    closing steps have dropped since are among them, as the drops table remembers them."""
    kind, steps = KINDS[ledger.fingerprint()["makes"]], set(ledger.closing_steps())
    for shard, record in ledger.records():
        if record is None:
            continue
        names = inputs_by_row(shard, keys_of(ledger.store, shard.data_file))
        wanted = [name for name in columns if name in kind.schema.names]
        rows = rows_of(ledger.store, shard.data_file, wanted)
        for (sample_id, _, origin), row in zip(names, rows, strict=True):
            yield {**row, "sample_id": sample_id, "input": origin}
        if not any(place.partition("/")[0] in steps for place in record.dropped):
            continue
        wanted = [name for name in columns if name in DROPS.schema.names]
        for row in rows_of(ledger.store, shard.drops_file, [*wanted, "sample_id", "step"]):
            if row["step"] in steps:
                yield {**row, "input": row["sample_id"]}


def begin(store: Store, decision: Decision) -> None:
    """From here on :func:`finish` does what was decided."""
    store.replace(DECISION, decision.to_json())


def finish(store: Store, closed: Closed = lambda _: None, *, strict: bool = True) -> bool:
    """Do what :func:`begin` promised, or what is left of it; for the holder of the lock. True when
    all is done.

    Raises :class:`VerificationError` where a file of a shard is damaged, which is not touched;
    where not ``strict``, such shards and those that are not done are left for later.
    """
    decision = Decision.from_json(store.read(DECISION))
    ledger = Ledger(store)
    kind = KINDS[ledger.fingerprint()["makes"]]
    open_shards = 0
    for shard in ledger.shards():
        try:
            open_shards += not _close(store, shard, kind, decision, closed)
        except VerificationError:
            if strict:
                raise
            open_shards += 1
    if open_shards:
        return False
    for name in store.list(f"{_folder()}/*.json"):
        store.remove(name)
    store.remove(DECISION)
    return True


def _folder() -> str:
    return DECISION.removesuffix(".json")


def _close(store: Store, shard: Shard, kind: TableKind, decision: Decision, closed: Closed) -> bool:
    record = record_of(store, shard)
    if record is None or record.closed:
        return record is not None
    leaving = decision.of(shard.inputs)

    def refused(rows: Iterator[Row]) -> Iterable[Row]:
        yield from rows
        yield from _drops_of(store, shard, kind, leaving)

    place = {name: position for position, name in enumerate(shard.inputs)}
    wanted = Rewriting(leaving, refused, place, closes=True)
    rewrite(store, shard, kind, f"{_folder()}/{shard.id}.json", wanted)
    closed(len(leaving))
    return True


def _drops_of(
    store: Store, shard: Shard, kind: TableKind, leaving: Mapping[str, tuple[str, ClosingDrop]]
) -> Iterator[Row]:
    """One row an input, with what is known of it and a thumbnail, from the first of its rows."""
    if not leaving:
        return
    known = [name for name in DROPS.schema.names if name in kind.schema.names]
    image = next((name for name in kind.image_columns if name != "lq"), None)
    names = inputs_by_row(shard, keys_of(store, shard.data_file))
    rows = rows_of(store, shard.data_file, [*known, *filter(None, [image])])
    done: set[str] = set()
    for (_, _, origin), row in zip(names, rows, strict=True):
        if origin not in leaving or origin in done:
            continue
        done.add(origin)
        step, drop = leaving[origin]
        yield {
            **{name: row.get(name) for name in known},
            "sample_id": origin,
            "step": step,
            "kind": "drop",
            "reason": drop.reason,
            "detail": drop.sentence,
            "thumbnail": _thumbnail(row.get(image) if image else None),
        }


def _thumbnail(cell: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not cell or not cell.get("bytes"):
        return None
    try:
        pixels = images.decode(cell["bytes"]).pixels
    except SampleError:
        return None
    return {"bytes": images.thumbnail(pixels, THUMBNAIL_PX), "path": "thumbnail.jpg"}
