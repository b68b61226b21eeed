"""Reading Parquet files, without threads that outlive the read.

By default Arrow reads ahead on a thread of its own, which may hold the Python file beyond the call;
a process that ends just then is aborted ("terminate called without an active exception", as in
apache/arrow issue 50482; ``pq.read_table`` on an open file did so in one of six short processes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
from pyarrow.parquet import ParquetFile  # noqa: TID251

from inscene.dataset.store import Store

__all__ = [
    "ParquetFile",
    "open_parquet",
    "read_batches",
    "read_columns",
    "read_group",
    "read_present",
]


def open_parquet(source: str | pa.NativeFile | IO[bytes], buffer_bytes: int = 0) -> ParquetFile:
    """A path, or a file open for reading. Read from it by the functions below.

    With ``buffer_bytes`` a column of a row group is read in pieces of that size, and not at once.
    """
    return ParquetFile(source, pre_buffer=False, buffer_size=buffer_bytes)


def read_columns(store: Store, name: str, columns: Sequence[str]) -> pa.Table:
    """These columns of all rows of a file."""
    with store.open(name) as file, open_parquet(file) as parquet:
        return parquet.read(columns=list(columns), use_threads=False)


def read_present(store: Store, name: str, columns: Sequence[str]) -> pa.Table:
    """Those of the columns that the file has, of all its rows; older files lack newer columns."""
    with store.open(name) as file, open_parquet(file) as parquet:
        there = set(parquet.schema_arrow.names)
        return parquet.read(columns=[one for one in columns if one in there], use_threads=False)


def read_group(parquet: ParquetFile, group: int, columns: Sequence[str] | None = None) -> Any:
    """A ``pa.Table`` of one row group; all columns by default."""
    wanted = None if columns is None else list(columns)
    return parquet.read_row_group(group, columns=wanted, use_threads=False)


def read_batches(parquet: ParquetFile, group: int, rows: int) -> Iterator[pa.Table]:
    """A row group in slices of at most so many rows, all columns; for a file that was opened with
    ``buffer_bytes``."""
    for batch in parquet.iter_batches(rows, row_groups=[group], use_threads=False):
        yield pa.Table.from_batches([batch])
