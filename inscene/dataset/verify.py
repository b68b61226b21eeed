"""Checks a dataset folder against its own records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from inscene.dataset import closing, removal
from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import open_parquet, read_columns
from inscene.dataset.shards import Record, Shard
from inscene.dataset.store import Store, open_store
from inscene.dataset.tablehash import table_hash
from inscene.dataset.tombstones import REASON, STEP, Tombstones, is_mask, read_tombstones
from inscene.schema import DROPS, KINDS, TableKind


@dataclass
class Verdict:
    """What :func:`verify` found. ``problems`` is empty for a sound dataset."""

    dataset: str
    kind: str
    shards: int = 0
    inputs: int = 0
    kept: int = 0
    rows: int = 0
    dropped: int = 0
    errors: int = 0
    forgotten: int = 0
    """Of the dropped: those that were taken out for good."""
    table_hash: str | None = None
    problems: list[str] = field(default_factory=list)


def verify(location: str) -> Verdict:
    """Re-check every file of a dataset: size, hash, rows, ids, and that every input is accounted
    for. Raises :class:`UsageError` for what is no dataset of inscene."""
    store = open_store(location)
    ledger = Ledger(store)
    fingerprint = ledger.fingerprint()
    kind = KINDS[fingerprint["makes"]]
    verdict = Verdict(location, kind.name)
    if removal.is_begun(store):
        verdict.problems.append(
            f"a forget was killed before its end: inscene forget {location} finishes it"
        )
        return verdict
    if closing.still_to_do(ledger):
        verdict.problems.append(
            f"{', '.join(ledger.closing_steps())}: not done; run the same command to resume"
        )
        if closing.is_begun(store):
            return verdict  # files and records are on their way to agree
    recipe_hash, tombstones = ledger.recipe_hash(), read_tombstones(store)
    keys: Counter[tuple[object, ...]] = Counter()
    expected: set[str] = set()
    for shard in ledger.shards():
        verdict.shards += 1
        if store.size(shard.record_file) is None:
            verdict.problems.append(f"{shard.name}: not done; run the same command to resume")
            continue
        try:
            record = Record.from_json(store.read(shard.record_file))
        except (ValueError, TypeError):
            verdict.problems.append(f"{shard.record_file}: is damaged")
            continue
        expected |= record.files.keys()
        _check_record(verdict, shard, record, recipe_hash)
        if all(_check_file(verdict, store, name, file) for name, file in record.files.items()):
            keys.update(_keys(store, shard.data_file, kind))
            _check_refused(verdict, store, shard, record)
            if tombstones:
                _check_forgotten(verdict, store, shard, tombstones)
    repeated = [key for key, count in keys.items() if count > 1]
    for key in repeated[:10]:
        verdict.problems.append(f"the row {key} occurs {keys[key]} times")
    present = {*store.list("data/*.parquet"), *store.list("drops/*.parquet")}
    for name in sorted(present - expected):
        verdict.problems.append(f"{name}: no record speaks of it")
    if not verdict.problems:
        files = [shard.data_file for shard in ledger.shards()]
        verdict.table_hash = table_hash(store, files, kind)
    return verdict


def _check_record(verdict: Verdict, shard: Shard, record: Record, recipe_hash: str) -> None:
    verdict.inputs += record.inputs
    verdict.kept += record.kept
    verdict.rows += record.rows
    verdict.dropped += sum(record.dropped.values())
    verdict.errors += sum(record.errors.values())
    verdict.forgotten += record.dropped.get(f"{STEP}/{REASON}", 0)
    if record.recipe != recipe_hash:
        verdict.problems.append(f"{shard.name}: made by another recipe ({record.recipe[:12]})")
    if record.inputs != len(shard.inputs) or not record.balances():
        verdict.problems.append(f"{shard.name}: its record does not account for every input")
    if record.files.keys() != {shard.data_file, shard.drops_file}:
        verdict.problems.append(f"{shard.name}: its record names other files")


def _check_file(verdict: Verdict, store: Store, name: str, file: dict[str, object]) -> bool:
    """True for a file that can be read on."""
    problem = None
    if store.size(name) is None:
        problem = "is missing"
    elif store.size(name) != file["bytes"]:
        problem = f"has {store.size(name)} bytes, its record says {file['bytes']}"
    elif store.sha256(name) != file["sha256"]:
        problem = "was changed since: its SHA-256 differs from its record's"
    if problem is None:
        try:
            with store.open(name) as opened, open_parquet(opened) as parquet:
                if parquet.metadata.num_rows != file["rows"]:
                    problem = f"has {parquet.metadata.num_rows} rows, its record {file['rows']}"
        except pa.ArrowInvalid as error:
            problem = f"is not Parquet ({error})"
    if problem:
        verdict.problems.append(f"{name}: {problem}")
    return problem is None


def _keys(store: Store, name: str, kind: TableKind) -> list[tuple[object, ...]]:
    columns = read_columns(store, name, kind.key).to_pydict()
    return list(zip(*(columns[column] for column in kind.key), strict=True))


def _check_refused(verdict: Verdict, store: Store, shard: Shard, record: Record) -> None:
    """The drops table names inputs of this shard, each once, as many as the record counts."""
    refused = [key[0] for key in _keys(store, shard.drops_file, DROPS)]
    counted = sum(record.dropped.values()) + sum(record.errors.values())
    foreign = set(refused) - set(shard.inputs)
    foreign |= {name for name in shard.inputs if is_mask(name)} - set(refused)
    if foreign or len(set(refused)) != len(refused) or len(refused) != counted:
        verdict.problems.append(f"{shard.drops_file}: does not agree with its record")


def _check_forgotten(verdict: Verdict, store: Store, shard: Shard, tombstones: Tombstones) -> None:
    """No row is of a sample that the dataset has forgotten."""
    with store.open(shard.data_file) as opened, open_parquet(opened) as parquet:
        there = [n for n in ("sample_id", "sha256") if n in parquet.schema_arrow.names]
    rows = read_columns(store, shard.data_file, there).to_pylist()
    found = sum(tombstones.covers(row["sample_id"], row.get("sha256")) for row in rows)
    if found:
        verdict.problems.append(
            f"{shard.data_file}: holds {found} rows of forgotten samples; inscene forget "
            f"{verdict.dataset} --tombstones {verdict.dataset} takes them out"
        )
