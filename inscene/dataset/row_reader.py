"""Rows of Parquet files by their places, with little in memory and nothing fetched twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from inscene.dataset.parquet import ParquetFile, open_parquet, read_batches, read_group
from inscene.dataset.store import is_url, open_url
from inscene.errors import SampleError, UsageError

LARGE_GROUP_BYTES = 256 * 2**20
"""Larger row groups, which other writers make, are read in slices."""
SLICE_ROWS = 4
SLICE_BUFFER_BYTES = 8 * 2**20
"""Read ahead in each column of a large group."""


def open_file(file: str, *, buffer_bytes: int = 0) -> ParquetFile:
    """Of a path or URL. Raises :class:`UsageError` for what is no Parquet file."""
    try:
        return open_parquet(open_url(file) if is_url(file) else file, buffer_bytes)
    except (pa.ArrowException, OSError) as error:  # OSError: a damaged footer
        raise UsageError("is not a Parquet file", where=file, why=f"{error}.") from error


class RowReader:
    """Holds one file open and one of its row groups, or a slice of a large one: quickest for rows
    in the order in which they are stored. A context manager."""

    def __init__(self) -> None:
        self._file: str | None = None
        self._parquet: ParquetFile | None = None
        self._group = -1
        self._slices: Iterator[pa.Table] = iter(())
        self._table: pa.Table | None = None
        self._first = 0
        self._broken: dict[tuple[str, int], str] = {}

    def __enter__(self) -> RowReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def row(self, file: str, group: int, row: int) -> dict[str, Any]:
        """Raises :class:`SampleError` where the group is damaged: it costs its own rows and no
        others; :class:`MachineError` where the Hub cannot be read."""
        if problem := self._broken.get((file, group)):
            raise SampleError("parquet_unreadable", problem)
        try:
            table = self._table_with(file, group, row)
        except (OSError, pa.ArrowException, UsageError) as error:
            self._close()
            self._broken[file, group] = f"row group {group} of {file.rpartition('/')[2]}: {error}"
            raise SampleError("parquet_unreadable", self._broken[file, group]) from error
        found: dict[str, Any] = table.slice(row - self._first, 1).to_pylist()[0]
        return found

    def _table_with(self, file: str, group: int, row: int) -> pa.Table:
        if self._file != file:
            self._close()
            self._parquet, self._file = open_file(file), file
        if self._group != group or row < self._first:
            self._begin(file, group)
        while self._table is None or row >= self._first + self._table.num_rows:
            self._first += 0 if self._table is None else self._table.num_rows
            self._table = None  # not two at once
            self._table = next(self._slices, None)
            if self._table is None:
                raise UsageError(f"has no row {row}")  # it has changed since it was listed
        return self._table

    def _begin(self, file: str, group: int) -> None:
        assert self._parquet is not None
        self._group, self._first, self._table = group, 0, None
        if self._parquet.metadata.row_group(group).total_byte_size <= LARGE_GROUP_BYTES:
            self._slices = iter((read_group(self._parquet, group),))
            return
        self._parquet.close(force=True)
        self._parquet = open_file(file, buffer_bytes=SLICE_BUFFER_BYTES)
        self._slices = read_batches(self._parquet, group, SLICE_ROWS)

    def _close(self) -> None:
        self._slices, self._table, self._group = iter(()), None, -1
        if self._parquet is not None:
            self._parquet.close(force=True)
        self._parquet = self._file = None
