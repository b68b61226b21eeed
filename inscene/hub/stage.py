"""Writes a dataset's rows as the files that are sent: few and large, the same bytes every time.

A file ends where a shard of the dataset ends, as long as shards are smaller than files: a row that
is taken out changes its own file, and rarely another. Memory holds one row group, whatever the size
of the dataset.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import ParquetFile, open_parquet, read_group
from inscene.dataset.shards import CHUNKING, Record, Shard, package_versions, parquet_options
from inscene.dataset.store import LocalStore, Store, disk_errors_explained
from inscene.errors import MachineError, UsageError
from inscene.hub.package import DEFAULT, METADATA, Staged, StagedFile
from inscene.recipe import content_hash
from inscene.schema import KINDS, TableKind

MAX_FILE_BYTES = 500 * 10**6
"""What the Hub advises."""
ROW_GROUP_BYTES = 64 * 2**20
"""Of values in memory. The Hub's viewer wants at most 100 MB, encoded."""
ROW_GROUP_ROWS = 20_000
SPARE_BYTES = 64 * 2**20
"""Disk space that must stay free."""

_LAYOUT = 1  # to be raised when the same rows become other files
_STAGED, _MINE = "staged.json", ".inscene-staging"

Advance = Callable[[int], None]
"""Told of each row group: bytes written so far."""


class Forgotten(Protocol):
    def covers(self, sample_id: str, image_sha256: str) -> bool: ...


def stage(
    store: Store,
    folder: Path,
    *,
    forgotten: Forgotten | None = None,
    forgotten_hash: str = "",
    max_file_bytes: int = MAX_FILE_BYTES,
    advance: Advance | None = None,
) -> Staged:
    """Write the finished dataset's rows below ``folder``; files that are there already from the
    same rows are taken as they are.

    Raises :class:`UsageError` for a dataset that is unfinished or empty, :class:`MachineError` for
    a disk that is too small.
    """
    ledger = Ledger(store)
    kind = KINDS[str(ledger.fingerprint()["makes"])]
    shards = [(shard, _finished(store, shard, record)) for shard, record in ledger.records()]
    facts = {
        "layout": _LAYOUT,
        "kind": kind.name,
        "files": [record.files[shard.data_file]["sha256"] for shard, record in shards],
        "forgotten": forgotten_hash,
        "max_file_bytes": max_file_bytes,
        "pyarrow": package_versions()["pyarrow"],
    }
    key = content_hash(facts)
    if (there := _staged_before(folder, key)) is not None:
        return there
    _clear(folder)
    _must_fit(store, folder, [record for _, record in shards])
    work = _Stage(store, folder, kind, forgotten, max_file_bytes, advance)
    for split in dict.fromkeys(shard.split for shard, _ in shards):
        work.split(split, [(shard, record) for shard, record in shards if shard.split == split])
    if not work.files:
        raise UsageError("holds no rows to publish", where=store.root)
    staged = Staged(folder, kind.name, tuple(work.files), work.forgotten_rows)
    _note(staged, key)
    return staged


def discard(staged: Staged) -> None:
    """Remove the staged files."""
    _clear(staged.folder)


def _finished(store: Store, shard: Shard, record: Record | None) -> Record:
    if record is None:
        raise UsageError(
            "is unfinished",
            where=store.root,
            why=f"Shard {shard.name} is not done.",
            next_step="Run the command that makes it again: it resumes.",
        )
    return record


class _Stage:
    def __init__(
        self,
        store: Store,
        folder: Path,
        kind: TableKind,
        forgotten: Forgotten | None,
        max_file_bytes: int,
        advance: Advance | None,
    ) -> None:
        self._store, self._folder, self._kind = store, folder, kind
        self._forgotten, self._max, self._advance = forgotten, max_file_bytes, advance
        self.files: list[StagedFile] = []
        self.forgotten_rows = 0
        images = set(kind.image_columns)
        self._small = [column.name for column in kind.columns if column.name not in images]

    def split(self, name: str, shards: list[tuple[Shard, Record]]) -> None:
        options = {**parquet_options(self._kind), "dictionary_pagesize_limit": 2 * ROW_GROUP_BYTES}
        writers = [_Files(self._folder, DEFAULT, name, self._kind.schema, options, self._max)]
        if self._kind.image_columns:
            schema = pa.schema([self._kind.schema.field(column) for column in self._small])
            plain = {"write_page_index": True, "use_content_defined_chunking": CHUNKING,
                     "compression": "zstd"}  # fmt: skip
            writers.append(_Files(self._folder, METADATA, name, schema, plain, self._max))
        for shard, record in shards:
            writers[0].next_shard(int(record.files[shard.data_file]["bytes"]))
            self._shard(shard, writers)
        for writer in writers:
            writer.close()
            self.files += writer.named()

    def _shard(self, shard: Shard, writers: list[_Files]) -> None:
        with self._store.open(shard.data_file) as file, open_parquet(file) as parquet:
            missing = set(self._kind.schema.names) - set(parquet.schema_arrow.names)
            if missing:
                raise UsageError(
                    f"has no column {min(missing)!r}",
                    where=self._store.describe(shard.data_file),
                    why="Another version of inscene wrote it.",
                    next_step="Make the dataset anew.",
                )
            for read in _ahead(parquet, self._kind.schema.names):
                table = self._kept(read)
                if not table.num_rows:
                    continue
                for writer in writers:
                    writer.add(table.select(writer.schema.names))
                if self._advance is not None:
                    self._advance(table.nbytes)

    def _kept(self, table: pa.Table) -> pa.Table:
        if self._forgotten is None:
            return table
        hashes = table.column("sha256" if "sha256" in table.column_names else "sample_id")
        pairs = zip(table.column("sample_id").to_pylist(), hashes.to_pylist(), strict=True)
        keep = [not self._forgotten.covers(sample, image or "") for sample, image in pairs]
        if all(keep):
            return table
        self.forgotten_rows += len(keep) - sum(keep)
        return table.filter(pa.array(keep))


def _ahead(parquet: ParquetFile, columns: list[str]) -> Iterator[pa.Table]:
    """The row groups of a file; the next one is read while one is written."""
    with ThreadPoolExecutor(1) as reader:
        coming: Future[pa.Table] | None = None
        for group in range(parquet.num_row_groups):
            table = None if coming is None else coming.result()
            coming = reader.submit(read_group, parquet, group, columns)
            if table is not None:
                yield table
        if coming is not None:
            yield coming.result()


class _Follower:
    """Hashes a file while it is being written: a separate pass over it would cost a fifth of the
    time."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._digest = hashlib.sha256()
        self._worker = ThreadPoolExecutor(1)
        self._block = memoryview(bytearray(2**20))

    def follow(self) -> None:
        """All that is written by now."""
        self._worker.submit(self._read)

    def _read(self) -> None:
        while count := self._file.readinto(self._block):
            self._digest.update(self._block[:count])

    def end(self) -> str:
        """Hex digest of the whole."""
        self._worker.submit(self._read).result()
        self._worker.shutdown()
        self._file.close()
        return self._digest.hexdigest()


@dataclass(frozen=True)
class _Written:
    sha256: str
    local: Path
    bytes: int
    rows: int


class _Files:
    """The files of one split and configuration. Their names say how many there are: they get them
    when the last is written."""

    def __init__(
        self, folder: Path, config: str, split: str, schema: pa.Schema, options: Any, max_bytes: int
    ) -> None:
        self.schema = schema
        self._folder = folder / ("data" if config == DEFAULT else config)
        self._config, self._split, self._options, self._max = config, split, options, max_bytes
        self._writer: Any = None
        self._file: Any = None
        self._follower: _Follower | None = None
        self._rows = 0
        self._pending: list[pa.Table] = []
        self._pending_bytes = self._pending_rows = 0
        self._done: list[_Written] = []

    def next_shard(self, size_bytes: int) -> None:
        """A shard of about this size comes next: it does not begin in a file that it would
        overfill."""
        if self._written_bytes() + self._pending_bytes + size_bytes > self._max:
            self.close()

    def add(self, table: pa.Table) -> None:
        rows, size = table.num_rows, table.nbytes
        if self._pending and (
            self._pending_bytes + size > ROW_GROUP_BYTES
            or self._pending_rows + rows > ROW_GROUP_ROWS
        ):
            self._flush()
        if self._written_bytes() + self._pending_bytes + size > self._max:
            self.close()
        self._pending.append(table)
        self._pending_bytes += size
        self._pending_rows += rows

    def _written_bytes(self) -> int:
        return 0 if self._file is None else int(self._file.tell())

    def _flush(self) -> None:
        if not self._pending:
            return
        group = pa.concat_tables(self._pending).replace_schema_metadata(self.schema.metadata)
        self._pending, self._pending_bytes, self._pending_rows = [], 0, 0
        path = self._folder / f".{self._split}-{len(self._done):05d}.part"
        with disk_errors_explained(str(path)):
            if self._writer is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = pa.OSFile(str(path), "wb")
                self._writer = pq.ParquetWriter(self._file, self.schema, **self._options)
                self._follower = _Follower(path)
            self._writer.write_table(group.cast(self.schema), row_group_size=group.num_rows)
        assert self._follower is not None
        self._follower.follow()
        self._rows += group.num_rows

    def close(self) -> None:
        """End the file that is being written, if any."""
        self._flush()
        if self._writer is None:
            return
        path = self._folder / f".{self._split}-{len(self._done):05d}.part"
        with disk_errors_explained(str(path)):
            self._writer.add_key_value_metadata({"content_defined_chunking": json.dumps(CHUNKING)})
            self._writer.close()
            self._file.close()
        assert self._follower is not None
        digest = self._follower.end()
        self._done.append(_Written(digest, path, path.stat().st_size, self._rows))
        self._writer = self._file = self._follower = None
        self._rows = 0

    def named(self) -> list[StagedFile]:
        """The finished files, under the names that ``datasets`` expects."""
        found = []
        for number, one in enumerate(self._done):
            name = f"{self._split or 'train'}-{number:05d}-of-{len(self._done):05d}.parquet"
            local = one.local.with_name(name)
            one.local.replace(local)
            found.append(
                StagedFile(f"{self._folder.name}/{name}", local, one.bytes, one.sha256, one.rows,
                           self._split or "train", self._config)
            )  # fmt: skip
        return found


# -- what lies in the folder -------------------------------------------------------------------


def _note(staged: Staged, key: str) -> None:
    files = [{**vars(file), "local": None} for file in staged.files]
    facts = {"key": key, "kind": staged.kind, "files": files, "forgotten": staged.forgotten_rows}
    LocalStore(staged.folder).replace(_STAGED, json.dumps(facts, indent=1).encode())


def _staged_before(folder: Path, key: str) -> Staged | None:
    """The note is written when all files are: it proves that they are whole."""
    try:
        facts = json.loads((folder / _STAGED).read_bytes())
        files = [StagedFile(**{**one, "local": folder / one["path"]}) for one in facts["files"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if facts["key"] != key or any(not _is_whole(file) for file in files):
        return None
    return Staged(folder, facts["kind"], tuple(files), facts["forgotten"])


def _is_whole(file: StagedFile) -> bool:
    try:
        return file.local.stat().st_size == file.bytes
    except OSError:
        return False


def take(folder: Path) -> None:
    """Make it a staging folder. Raises :class:`UsageError` for a folder of other things: what is
    staged replaces what is there."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MINE).exists():
        raise UsageError(
            "is not empty, and holds nothing that was staged by inscene",
            where=str(folder),
            next_step="Choose another folder: --staging FOLDER",
        )
    with disk_errors_explained(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MINE).touch()


def _clear(folder: Path) -> None:
    take(folder)
    (folder / _STAGED).unlink(missing_ok=True)
    for name in ("data", METADATA):
        shutil.rmtree(folder / name, ignore_errors=True)


def _must_fit(store: Store, folder: Path, records: list[Record]) -> None:
    needed = sum(
        int(file["bytes"])
        for record in records
        for name, file in record.files.items()
        if name.startswith("data/")
    )
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise MachineError(
            "the disk is too small for the files that are to be sent",
            where=str(folder),
            why=f"About {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free.",
            next_step="Choose another folder: --staging FOLDER",
        )
