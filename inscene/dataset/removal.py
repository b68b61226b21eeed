"""Takes forgotten samples out of a dataset's files, so that a kill at any moment leaves what the
next call finishes.

run/forgetting.json          the tombstones that hold from now on: written first, removed last
run/forgetting/SHARD.json    the record that a shard will have: written before its files change
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator

from inscene.dataset.ledger import PLAN, Ledger, plan_lines
from inscene.dataset.rewrite import Rewriting, Row, record_of, rewrite
from inscene.dataset.shards import Shard
from inscene.dataset.store import Store
from inscene.dataset.tombstones import (
    FORGOTTEN,
    REASON,
    STEP,
    UNFINISHED,
    Tombstones,
    is_mask,
    mask,
)
from inscene.schema import KINDS, TableKind

QUARANTINE = "run/quarantine.json"

Progress = Callable[[], None]


def begin(store: Store, tombstones: Tombstones) -> None:
    """From here on there is no way back: :func:`finish` takes out what these cover."""
    store.replace(UNFINISHED, tombstones.to_json())


def is_begun(store: Store) -> bool:
    return store.size(UNFINISHED) is not None


def finish(store: Store, progress: Progress = lambda: None) -> None:
    """Do what :func:`begin` promised, or what is left of it; for the holder of the lock.

    Raises :class:`VerificationError` where a file of a shard is damaged: it is not touched.
    """
    tombstones = Tombstones.from_json(store.read(UNFINISHED))
    store.replace(FORGOTTEN, tombstones.to_json())
    ledger = Ledger(store)
    if ledger.exists():
        kind = KINDS[ledger.fingerprint()["makes"]]
        shards = ledger.shards()
        masked = []
        for shard in shards:
            gone = {name for name in shard.inputs if tombstones.covers(name)}
            if gone - {name for name in gone if is_mask(name)}:
                _take_out(store, shard, kind, gone)
                progress()
            masked.append(shard.with_inputs([mask(n) if n in gone else n for n in shard.inputs]))
        store.replace(PLAN, plan_lines(masked))
    _scrub_quarantine(store, tombstones)
    for name in store.list(f"{_folder()}/*.json"):
        store.remove(name)
    store.remove(UNFINISHED)


def _folder() -> str:
    return UNFINISHED.removesuffix(".json")


def _scrub_quarantine(store: Store, tombstones: Tombstones) -> None:
    if store.size(QUARANTINE) is None:
        return
    kills = json.loads(store.read(QUARANTINE))
    kept = {name: count for name, count in kills.items() if not tombstones.covers(name)}
    if kept != kills:
        store.replace(QUARANTINE, json.dumps(kept, indent=1).encode())


def _take_out(store: Store, shard: Shard, kind: TableKind, gone: Collection[str]) -> None:
    """Rows of these inputs (of the plan, masked or not) leave both files; the drops table says of
    each that it is forgotten, and no more."""
    if record_of(store, shard) is None:
        # Files without a record prove nothing: a killed run left them, and makes them anew.
        store.remove(shard.data_file)
        store.remove(shard.drops_file)
        return
    masks = {mask(name) for name in gone}

    def refused(rows: Iterator[Row]) -> Iterable[Row]:
        for row in rows:
            if row["sample_id"] not in gone and row["sample_id"] not in masks:
                yield row
        for name in sorted(masks):
            yield {"sample_id": name, "step": STEP, "kind": "drop", "reason": REASON, "detail": ""}

    place = {mask(n) if n in gone else n: position for position, n in enumerate(shard.inputs)}
    intent = f"{_folder()}/{shard.id}.json"
    rewrite(store, shard, kind, intent, Rewriting(gone, refused, place))
