"""Writes the files of a done shard anew, without some of its inputs, so that a kill at any moment
leaves what the next call finishes.

A shard's files and its record cannot change at one moment. The record that the shard will have is
written first, as an intent. Until the shard's own record is replaced, each file is either what the
old record says or what the coming one does; anything else is damage, and is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from inscene.dataset.parquet import open_parquet, read_group
from inscene.dataset.shards import Record, Shard, TableWriter
from inscene.dataset.store import Store
from inscene.errors import VerificationError
from inscene.schema import DROPS, Column, TableKind

Row = dict[str, Any]


@dataclass(frozen=True)
class Rewriting:
    """What is to become of one shard."""

    leaving: Collection[str]
    """Inputs whose rows leave the data file."""
    refused: Callable[[Iterator[Row]], Iterable[Row]]
    """From the rows of the drops table to those that it will have, in any order. Called only while
    the data file still holds what leaves it."""
    place: Mapping[str, int]
    """Sample id in the drops table -> its place there."""
    closes: bool = False
    """The record says from then on that the closing steps have been over it."""


def rewrite(store: Store, shard: Shard, kind: TableKind, intent: str, wanted: Rewriting) -> None:
    """Do it, or what is left of it. ``intent`` names the file of the coming record; it stays.

    Raises :class:`VerificationError` where a file is damaged: it is not touched.
    """
    old = record_of(store, shard)
    if old is None:
        raise AssertionError(f"{shard.name} is not done")
    coming = None if store.size(intent) is None else Record.from_json(store.read(intent))
    facts = {
        name: _checked(store, name, old, coming) for name in (shard.data_file, shard.drops_file)
    }
    # The drops first: they are made from rows that the data file is about to lose.
    drops = _New(shard.drops_file, facts[shard.drops_file])
    if coming is None or drops.facts != coming.files[shard.drops_file]:
        drops, counts = _drops_anew(store, shard, wanted)
    else:
        counts = {"drop": Counter(coming.dropped), "error": Counter(coming.errors)}
    try:
        data = _data_without(store, shard, kind, wanted.leaving, facts[shard.data_file])
        try:
            record = _new_record(shard, old, data, drops, counts, closes=wanted.closes)
            store.replace(intent, record.to_json())
            for one in (drops, data):
                if one.writer is not None:
                    store.commit(one.writer.staged, one.name)
            store.replace(shard.record_file, record.to_json())
        finally:
            data.discard()
    finally:
        drops.discard()


@dataclass(frozen=True)
class _New:
    """A file as it will be; ``writer`` is None for one that stays."""

    name: str
    facts: dict[str, Any]
    writer: TableWriter | None = None

    def discard(self) -> None:
        if self.writer is not None:
            self.writer.discard()


def record_of(store: Store, shard: Shard) -> Record | None:
    """None where the shard is not done. Raises :class:`VerificationError` for a torn one."""
    if store.size(shard.record_file) is None:
        return None
    try:
        return Record.from_json(store.read(shard.record_file))
    except (ValueError, TypeError) as error:
        raise _damaged(store, shard.record_file, f"{error}.") from error


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
        next_step="Delete it, and run the command that made the dataset again: it makes the file "
        "anew.",
    )


def rows_of(store: Store, name: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Every row, a row group at a time: all columns, or those of these that there are."""
    with store.open(name) as file, open_parquet(file) as parquet:
        there = None
        if columns is not None:
            there = [column for column in columns if column in parquet.schema_arrow.names]
        for group in range(parquet.num_row_groups):
            yield from read_group(parquet, group, there).to_pylist()


def keys_of(store: Store, name: str) -> list[tuple[str, int | None]]:
    """Sample id and version of every row; None where the table has no versions."""
    with store.open(name) as file, open_parquet(file) as parquet:
        wanted = [n for n in ("sample_id", "version") if n in parquet.schema_arrow.names]
        columns = parquet.read(columns=wanted, use_threads=False).to_pydict()
    ids = columns["sample_id"]
    return list(zip(ids, columns.get("version") or [None] * len(ids), strict=True))


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


def _data_without(
    store: Store, shard: Shard, kind: TableKind, leaving: Collection[str], facts: dict[str, Any]
) -> _New:
    """The data file without these inputs' rows, written as the run itself writes."""
    name = shard.data_file
    stays = [origin not in leaving for *_, origin in inputs_by_row(shard, keys_of(store, name))]
    if all(stays):
        return _New(name, facts)
    writer = TableWriter(store, name, _kind_of(store, name, kind))
    try:
        for row, stay in zip(rows_of(store, name), stays, strict=True):
            if stay:
                writer.add(row)
        return _New(name, writer.close(), writer)
    except BaseException:
        writer.discard()
        raise


def _drops_anew(
    store: Store, shard: Shard, wanted: Rewriting
) -> tuple[_New, dict[str, Counter[str]]]:
    """The drops file in the order of the plan, and its counts by kind and ``step/reason``."""
    rows = list(wanted.refused(rows_of(store, shard.drops_file)))
    last = len(wanted.place)
    counts: dict[str, Counter[str]] = {"drop": Counter(), "error": Counter()}
    writer = TableWriter(store, shard.drops_file, DROPS)
    try:
        for row in sorted(rows, key=lambda row: wanted.place.get(row["sample_id"], last)):
            counts[row["kind"]][f"{row['step']}/{row['reason']}"] += 1
            writer.add(row)
        return _New(shard.drops_file, writer.close(), writer), counts
    except BaseException:
        writer.discard()
        raise


def _new_record(
    shard: Shard,
    old: Record,
    data: _New,
    drops: _New,
    counts: dict[str, Counter[str]],
    *,
    closes: bool,
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
        # Nobody could read it before it was closed: what it was made as matters to nobody.
        made_as={} if closes else made_as,
        closed=closes or old.closed,
    )
    if not record.balances():
        raise AssertionError(f"shard {PurePosixPath(shard.record_file).stem}: {record}")
    return record
