"""Takes forgotten samples out of a dataset's files, so that a kill at any moment leaves what the
next call finishes.

run/forgetting.json          the tombstones that hold from now on: written first, removed last
run/forgetting/SHARD.json    the record that a shard will have: written before its files change

A shard's files and its record cannot change at one moment. Between them a file is either what the
old record says or what the coming one does; anything else is damage, and is left alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from inscene.dataset.ledger import PLAN, Ledger, plan_lines
from inscene.dataset.parquet import open_parquet, read_group
from inscene.dataset.shards import Record, Shard, TableWriter
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
from inscene.errors import VerificationError
from inscene.schema import DROPS, KINDS, Column, TableKind

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


def _intent_file(shard: Shard) -> str:
    return f"{_folder()}/{shard.id}.json"


def _scrub_quarantine(store: Store, tombstones: Tombstones) -> None:
    if store.size(QUARANTINE) is None:
        return
    kills = json.loads(store.read(QUARANTINE))
    kept = {name: count for name, count in kills.items() if not tombstones.covers(name)}
    if kept != kills:
        store.replace(QUARANTINE, json.dumps(kept, indent=1).encode())


def inputs_by_row(
    shard: Shard, names: Sequence[tuple[str, int | None]]
) -> Iterator[tuple[str, int | None, str]]:
    """Each row's sample id and version with the input that it came from.

    A row's id is its input's, or (of results, and face pairs) that without the version and the
    name of the source. Raises :class:`VerificationError` for a row of no input.
    """
    inputs = set(shard.inputs)
    below: dict[str, str] = {}
    for name in shard.inputs:
        head, _, rest = name.partition("/")
        if head and rest:
            below.setdefault(rest, name)
    for sample_id, version in names:
        versioned = f"{sample_id}@{version}"
        found = next((name for name in (sample_id, versioned) if name in inputs), None)
        found = found or below.get(versioned) or below.get(sample_id)
        if found is None:
            raise VerificationError(
                f"holds a row of {sample_id!r}, which its plan does not have",
                where=shard.data_file,
                next_step="inscene verify says what else does not agree.",
            )
        yield sample_id, version, found


@dataclass(frozen=True)
class _Rewritten:
    """A file as it will be; ``writer`` is None for one that stays."""

    name: str
    facts: dict[str, Any]
    writer: TableWriter | None


def _take_out(store: Store, shard: Shard, kind: TableKind, gone: Collection[str]) -> None:
    """Rows of these inputs (of the plan, masked or not) leave both files; the drops table says of
    each that it is forgotten, and no more."""
    old = record_of(store, shard)
    if old is None:
        # Files without a record prove nothing: a killed run left them, and makes them anew.
        store.remove(shard.data_file)
        store.remove(shard.drops_file)
        return
    coming = _intent(store, shard)
    before = {
        name: _checked(store, name, old, coming) for name in (shard.data_file, shard.drops_file)
    }
    data = _without(store, shard, kind, gone, before[shard.data_file])
    try:
        drops, counts = _refused_anew(store, shard, gone)
        try:
            record = _new_record(shard, old, data, drops, counts)
            store.replace(_intent_file(shard), record.to_json())
            for one in (data, drops):
                if one.writer is not None:
                    store.commit(one.writer.staged, one.name)
            store.replace(shard.record_file, record.to_json())
        finally:
            _discard(drops)
    finally:
        _discard(data)


def _discard(one: _Rewritten) -> None:
    if one.writer is not None:
        one.writer.discard()


def record_of(store: Store, shard: Shard) -> Record | None:
    """None where the shard is not done. Raises :class:`VerificationError` for a torn one."""
    if store.size(shard.record_file) is None:
        return None
    try:
        return Record.from_json(store.read(shard.record_file))
    except (ValueError, TypeError) as error:
        raise _damaged(store, shard.record_file, f"{error}.") from error


def _intent(store: Store, shard: Shard) -> Record | None:
    name = _intent_file(shard)
    return None if store.size(name) is None else Record.from_json(store.read(name))


def check_whole(store: Store, shard: Shard, record: Record) -> None:
    """Raises :class:`VerificationError` where a file is not what its record says: what is rewritten
    gets a new proof, which must not be one of damage."""
    for name in (shard.data_file, shard.drops_file):
        _checked(store, name, record, None)


def _checked(store: Store, name: str, old: Record, coming: Record | None) -> dict[str, Any]:
    """What is known of the file: from the old record, or from the one that was coming."""
    if store.size(name) is None:
        raise _damaged(store, name, "It is missing.")
    digest = store.sha256(name)
    for record in (old, coming):
        if record is not None and record.files[name]["sha256"] == digest:
            return record.files[name]
    raise _damaged(store, name, "Its SHA-256 differs from its record's.")


def _damaged(store: Store, name: str, why: str) -> VerificationError:
    return VerificationError(
        "is damaged or missing",
        where=store.describe(name),
        why=why,
        next_step="Delete it, run the command that made the dataset again: it makes the file anew. "
        "Then forget.",
    )


def rows_of(store: Store, name: str) -> Iterator[dict[str, Any]]:
    """All columns of every row, a row group at a time."""
    with store.open(name) as file, open_parquet(file) as parquet:
        for group in range(parquet.num_row_groups):
            yield from read_group(parquet, group).to_pylist()


def _kind_of(store: Store, name: str, kind: TableKind) -> TableKind:
    """The kind with the columns that this file has, which another version may have written."""
    with store.open(name) as file, open_parquet(file) as parquet:
        schema = parquet.schema_arrow
    repeated = tuple(column for column in kind.repeated_images if column in schema.names)
    ours = {column.name: column for column in kind.columns}
    columns = tuple(
        ours[field.name]
        if field.name in ours and ours[field.name].type == field.type
        else Column(field.name, field.type, "")
        for field in schema
    )
    return TableKind(kind.name, columns, kind.key, repeated)


def _without(
    store: Store, shard: Shard, kind: TableKind, gone: Collection[str], facts: dict[str, Any]
) -> _Rewritten:
    """The data file without these inputs' rows, written as the run itself writes."""
    name = shard.data_file
    names = keys_of(store, name)
    stays = [origin not in gone for *_, origin in inputs_by_row(shard, names)]
    if all(stays):
        return _Rewritten(name, facts, None)
    writer = TableWriter(store, name, _kind_of(store, name, kind))
    try:
        for row, stay in zip(rows_of(store, name), stays, strict=True):
            if stay:
                writer.add(row)
        return _Rewritten(name, writer.close(), writer)
    except BaseException:
        writer.discard()
        raise


def keys_of(store: Store, name: str) -> list[tuple[str, int | None]]:
    """Sample id and version of every row; None where the table has no versions."""
    with store.open(name) as file, open_parquet(file) as parquet:
        wanted = [n for n in ("sample_id", "version") if n in parquet.schema_arrow.names]
        columns = parquet.read(columns=wanted, use_threads=False).to_pydict()
    ids = columns["sample_id"]
    return list(zip(ids, columns.get("version") or [None] * len(ids), strict=True))


def _refused_anew(
    store: Store, shard: Shard, gone: Collection[str]
) -> tuple[_Rewritten, dict[str, Counter[str]]]:
    """The drops file in the order of the plan, and its counts by kind and ``step/reason``."""
    masks = {mask(name) for name in gone}
    rows = [
        row
        for row in rows_of(store, shard.drops_file)
        if row["sample_id"] not in gone and row["sample_id"] not in masks
    ]
    rows += [
        {"sample_id": name, "step": STEP, "kind": "drop", "reason": REASON, "detail": ""}
        for name in sorted(masks)
    ]
    place = {mask(n) if n in gone else n: position for position, n in enumerate(shard.inputs)}
    counts: dict[str, Counter[str]] = {"drop": Counter(), "error": Counter()}
    writer = TableWriter(store, shard.drops_file, DROPS)
    try:
        for row in sorted(rows, key=lambda row: place.get(row["sample_id"], len(place))):
            counts[row["kind"]][f"{row['step']}/{row['reason']}"] += 1
            writer.add(row)
        return _Rewritten(shard.drops_file, writer.close(), writer), counts
    except BaseException:
        writer.discard()
        raise


def _new_record(
    shard: Shard, old: Record, data: _Rewritten, drops: _Rewritten, counts: dict[str, Counter[str]]
) -> Record:
    made_as = dict(old.made_as)
    if data.writer is not None or data.facts != old.files[data.name]:
        made_as[data.name] = old.state(data.name)
    record = Record(
        shard=old.shard,
        recipe=old.recipe,
        inputs=old.inputs,
        kept=old.inputs - sum(sum(one.values()) for one in counts.values()),
        rows=data.facts["rows"],
        dropped=dict(counts["drop"]),
        errors=dict(counts["error"]),
        files={one.name: one.facts for one in (data, drops)},
        versions=old.versions,
        made_as=made_as,
    )
    if not record.balances():
        raise AssertionError(f"shard {PurePosixPath(shard.record_file).stem}: {record}")
    return record
