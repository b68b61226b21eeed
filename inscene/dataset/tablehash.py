"""One hash for all rows of a dataset, whatever the shards, their order and their encoding."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

from inscene.dataset.parquet import open_parquet, read_group
from inscene.dataset.store import Store
from inscene.recipe import canonical_json
from inscene.schema import TableKind


def table_hash(store: Store, files: list[str], kind: TableKind) -> str:
    """SHA-256 over the rows' own hashes in the order of their keys, volatile columns left out."""
    rows = sorted(_row_hashes(store, files, kind))
    return hashlib.sha256("".join(digest for _, digest in rows).encode()).hexdigest()


def _row_hashes(store: Store, files: list[str], kind: TableKind) -> Iterator[tuple[str, str]]:
    columns = list(kind.hashed_columns)
    for name in files:
        with store.open(name) as file, open_parquet(file) as parquet:
            for group in range(parquet.num_row_groups):
                for row in read_group(parquet, group, columns).to_pylist():
                    key = canonical_json([row[column] for column in kind.key])
                    yield key, hashlib.sha256(canonical_json(_plain(row)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(hashlib.sha256(value).digest()).decode()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value != value:
        return "nan"  # JSON has no word for it
    return value
