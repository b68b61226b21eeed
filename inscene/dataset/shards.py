"""One shard: some inputs, the two Parquet files that they become, and the proof that it is done."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from inscene.dataset.parquet import open_parquet
from inscene.dataset.store import Store, disk_errors_explained
from inscene.recipe import canonical_json
from inscene.schema import DROPS, TableKind

# A row group is what a reader must hold at once. The Hub's viewer wants at most 100 MB.
ROW_GROUP_ROWS = 50
ROW_GROUP_BYTES = 8 * 2**20

THUMBNAIL_PX = 160
"""The longer side of what the drops table shows."""

# The values that `datasets` uses itself: equal files then share their chunks on the Hub.
CHUNKING = {"min_chunk_size": 256 * 1024, "max_chunk_size": 1024 * 1024, "norm_level": 0}


@dataclass(frozen=True)
class Shard:
    """A shard of the plan. ``name`` is its place among the files of its split."""

    id: str
    name: str
    split: str
    inputs: tuple[str, ...]
    state: str = ""
    """Hash of the inputs' states: changes when the content behind one of them does."""

    def with_inputs(self, inputs: Iterable[str]) -> Shard:
        return replace(self, inputs=tuple(inputs))

    @property
    def data_file(self) -> str:
        return f"data/{self.name}.parquet"

    @property
    def drops_file(self) -> str:
        return f"drops/{self.name}.parquet"

    @property
    def record_file(self) -> str:
        return f"run/records/{self.id}.json"


@dataclass
class Record:
    """What became of a shard's inputs: ``inputs = kept + dropped + errors``, always."""

    shard: str
    recipe: str
    inputs: int
    kept: int = 0
    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """``step/reason`` -> inputs that a step decided against."""
    errors: dict[str, int] = field(default_factory=dict)
    """``step/reason`` -> inputs that could not be used."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """File -> bytes, rows, sha256."""
    versions: dict[str, str] = field(default_factory=dict)
    made_as: dict[str, str] = field(default_factory=dict)
    """File -> SHA-256 that it was made with, where samples were taken out of it since. What is left
    did not change, and whoever reads it may go on."""
    closed: bool = False
    """The closing steps have been over it: see :mod:`inscene.dataset.closing`."""

    def state(self, name: str) -> str:
        """What changes when the file's rows do, other than by forgetting."""
        return self.made_as.get(name) or str(self.files[name]["sha256"])

    def balances(self) -> bool:
        ended = self.kept + sum(self.dropped.values()) + sum(self.errors.values())
        return self.inputs == ended

    def to_json(self) -> bytes:
        facts = {
            key: value
            for key, value in self.__dict__.items()
            if value or key not in ("made_as", "closed")
        }
        return (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Record:
        return cls(**json.loads(content))


class ShardWriter:
    """Writes a shard's rows as they come, and makes them appear all at once.

    A context manager: left without :meth:`commit`, nothing of it stays.
    """

    def __init__(self, store: Store, shard: Shard, kind: TableKind, recipe_hash: str) -> None:
        self._store, self._shard = store, shard
        self._data = TableWriter(store, shard.data_file, kind)
        self._drops = TableWriter(store, shard.drops_file, DROPS)
        self._dropped: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._record = Record(shard.id, recipe_hash, len(shard.inputs))

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._data.discard()
        self._drops.discard()

    def keep(self, rows: Iterable[dict[str, Any]]) -> None:
        """The rows that one input became."""
        self._record.kept += 1
        for row in rows:
            self._data.add(row)

    def refuse(self, row: dict[str, Any]) -> None:
        """One input that ends here; ``row`` has the columns of the drops table."""
        counter = self._dropped if row["kind"] == "drop" else self._errors
        counter[f"{row['step']}/{row['reason']}"] += 1
        self._drops.add(row)

    def commit(self) -> Record:
        """Files first, record last: a record is the proof that its files are whole."""
        record = self._record
        record.dropped, record.errors = dict(self._dropped), dict(self._errors)
        record.rows, record.versions = self._data.rows, dict(package_versions())
        if not record.balances():
            raise AssertionError(f"shard {self._shard.id}: inputs are unaccounted for: {record}")
        tables = (self._data, self._drops)
        for table in tables:
            record.files[table.name] = table.close()
        if self._store.size(self._shard.record_file) is not None:
            # A worker that outlived its killed run was faster; its files and record agree.
            return Record.from_json(self._store.read(self._shard.record_file))
        for table in tables:
            self._store.commit(table.staged, table.name)
        if self._store.create(self._shard.record_file, record.to_json()):
            return record
        # Another worker was faster by a moment. Whose files are there now decides whose record is
        # true (they differ in nothing but times).
        if all(self._store.sha256(name) == file["sha256"] for name, file in record.files.items()):
            self._store.replace(self._shard.record_file, record.to_json())
            return record
        return Record.from_json(self._store.read(self._shard.record_file))


class TableWriter:
    """A Parquet file in the making, written a row group at a time."""

    def __init__(self, store: Store, name: str, kind: TableKind) -> None:
        self.name, self.rows = name, 0
        self.staged = store.staging(name)
        self._where = store.describe(name)
        self._kind, self._names = kind, set(kind.schema.names)
        self._pending: list[dict[str, Any]] = []
        self._pending_bytes = 0
        with disk_errors_explained(self._where):
            self._writer = pq.ParquetWriter(self.staged, kind.schema, **parquet_options(kind))

    def add(self, row: dict[str, Any]) -> None:
        if unknown := row.keys() - self._names:
            raise ValueError(f"{self._kind.name} has no column {', '.join(sorted(unknown))}")
        self._pending.append(row)
        self._pending_bytes += sum(
            len(row[name]["bytes"] or b"") for name in self._kind.image_columns if row.get(name)
        )
        self.rows += 1
        if len(self._pending) >= ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            table = pa.Table.from_pylist(self._pending, schema=self._kind.schema)
            with disk_errors_explained(self._where):
                self._writer.write_table(table, row_group_size=len(self._pending))
        self._pending, self._pending_bytes = [], 0

    def close(self) -> dict[str, Any]:
        """Finish the staged file; its size, rows and hash."""
        self._flush()
        with disk_errors_explained(self._where):
            self._writer.add_key_value_metadata({"content_defined_chunking": json.dumps(CHUNKING)})
            self._writer.close()
        with self.staged.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": self.staged.stat().st_size, "rows": self.rows, "sha256": digest}

    def discard(self) -> None:
        try:
            self._writer.close()
        except OSError:
            pass  # closing writes the footer, which a full disk refuses; the file goes anyway
        finally:
            self.staged.unlink(missing_ok=True)


def parquet_options(kind: TableKind) -> dict[str, Any]:
    """How a table of this kind is encoded."""
    encoded = [f"{name}.bytes" for name in kind.image_columns]
    strings = [column.name for column in kind.columns if column.type == pa.string()]
    return {
        "write_page_index": True,  # without it the Hub's viewer refuses large scans
        "use_content_defined_chunking": CHUNKING,
        "compression": dict.fromkeys(_leaf_names(kind.schema), "zstd")
        | dict.fromkeys(encoded, "none"),
        # The clean image of five versions is five equal cells: a dictionary stores it once.
        "use_dictionary": [*strings, *(f"{name}.bytes" for name in kind.repeated_images)],
        "dictionary_pagesize_limit": 2 * ROW_GROUP_BYTES,
    }


def _leaf_names(schema: pa.Schema) -> list[str]:
    """Parquet's dotted column paths."""
    buffer = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), buffer)
    parquet_schema = open_parquet(pa.BufferReader(buffer.getvalue())).schema
    return [parquet_schema.column(position).path for position in range(len(parquet_schema))]


@functools.cache
def package_versions() -> dict[str, str]:
    """Versions of what decides pixels and bytes, without importing any of it."""
    names = ("inscene", "numpy", "scipy", "pillow", "opencv-python-headless", "pyarrow")
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "unknown"
    return versions


def provenance(recipe_hash: str, steps: dict[str, int]) -> str:
    """The JSON of a row's provenance column: the same for every row of a run."""
    return canonical_json({"recipe": recipe_hash, "steps": steps})
