"""Folders of images with a ``metadata.jsonl``, as ``datasets`` calls an imagefolder.

``file_name`` names the clean image, below the metadata's own folder; ``NAME_file_name`` another
image of the same row (``lq_file_name``). Here a name in the data opens a file, so it is confined:
relative, without "..", and where links lead out of the dataset they are not followed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from inscene.dataset.foreign import PEEK_ROWS, Columns, Table, map_columns
from inscene.dataset.schema_map import LQ, MAP_FILE, SchemaMap
from inscene.dataset.store import LocalStore, Store
from inscene.errors import SampleError, UsageError
from inscene.schema import IMAGE, PAIRS, SCENES

METADATA = "metadata.jsonl"
MAX_BYTES = 512 * 2**20
_SUFFIX = "_file_name"


@dataclass(frozen=True)
class Entry:
    image: str
    """Below the store."""
    beside: tuple[tuple[str, str], ...]
    """Column -> further image."""
    columns: dict[str, Any]
    """Ours, as JSON values."""


def metadata_files(store: Store) -> list[str]:
    """At the root, in the folder of each split, or below that."""
    return [name for depth in ("", "*/", "*/*/") for name in store.list(f"{depth}{METADATA}")]


def is_one(store: Store) -> bool:
    return bool(metadata_files(store))


def list_entries(store: Store) -> Iterator[Entry]:
    """Raises :class:`UsageError` for a metadata file that cannot be read, or leads elsewhere."""
    said = SchemaMap.of(store)
    for name in metadata_files(store):
        rows = read_rows(store, name)
        yield from _entries(store, name, rows, columns_of(store.describe(name), rows, said))


def readings(store: Store) -> Iterator[tuple[str, Columns]]:
    """Each metadata file, and how its columns are read."""
    said = SchemaMap.of(store)
    for name in metadata_files(store):
        yield name, columns_of(store.describe(name), read_rows(store, name), said)


def read_rows(store: Store, name: str) -> list[dict[str, Any]]:
    """One dictionary a line, images by the names of their columns."""
    where = store.describe(name)
    if (store.size(name) or 0) > MAX_BYTES:
        raise UsageError(f"is larger than {MAX_BYTES >> 20} MiB", where=where)
    rows = []
    for number, line in enumerate(store.read(name).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"line {number} is no JSON", where=where, why=f"{error}.") from error
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
            raise UsageError(
                f"line {number} has no file_name",
                where=where,
                next_step=f"Each line of a {METADATA} names an image. Rename the file if it is "
                "something else.",
            )
        rows.append({_column(key): value for key, value in row.items()})
    return rows


def _column(key: str) -> str:
    return "file_name" if key == "file_name" else key.removesuffix(_SUFFIX)


def columns_of(where: str, rows: list[dict[str, Any]], said: SchemaMap) -> Columns:
    names = {name: None for row in rows for name in row}
    inner = {
        f"{name}.{key}": None
        for row in rows[:PEEK_ROWS]
        for name, value in row.items()
        if isinstance(value, dict)
        for key in value
    }
    images = {"file_name"} | {name for name in names if name in LQ}
    peek = tuple(rows[:PEEK_ROWS])
    table = Table(where, (*names, *inner), frozenset(images), peek)
    return map_columns(table, said)


def _entries(
    store: Store, metadata: str, rows: list[dict[str, Any]], reading: Columns
) -> Iterator[Entry]:
    folder = PurePosixPath(metadata).parent
    where = store.describe(metadata)
    for number, row in enumerate(rows, 1):
        image = _confined(store, folder, row["file_name"], where)
        lq = reading.find("lq")
        beside: tuple[tuple[str, str], ...] = ()
        if lq is not None and row.get(lq) is not None:
            beside = (("lq", _confined(store, folder, row[lq], where)),)
        values = {name: value for name, value in row.items() if name not in ("file_name", lq)}
        try:
            found = reading.convert(values)
        except SampleError as error:
            raise UsageError(f"row {number}: {error.detail}", where=where) from error
        yield Entry(image, beside, _typed(found, f"{where}, row {number}"))


_TYPES = {
    column.name: column.type
    for column in (*PAIRS.columns, *SCENES.columns)
    if column.type != IMAGE and column.name not in ("sample_id", "sha256", "provenance")
}
"""What a line may say of its image. The rest is found out from the file."""


def _typed(values: dict[str, Any], where: str) -> dict[str, Any]:
    columns = {name: values[name] for name in _TYPES if values.get(name) is not None}
    for name, value in columns.items():
        try:
            pa.array([value], _TYPES[name])
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise UsageError(
                f"{name} is {value!r:.60}, where this tool's tables hold {_TYPES[name]}",
                where=where,
                next_step=f"Correct it, or leave the column out: ignore: [{name}] in {MAP_FILE}.",
            ) from error
    return columns


def _confined(store: Store, folder: PurePosixPath, name: Any, where: str) -> str:
    path = PurePosixPath(str(name).replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or "://" in str(name)
    inside = (folder / path).as_posix()
    if not outside and isinstance(store, LocalStore):
        outside = not _stays(store.folder.resolve(), (store.folder / inside))
    if outside:
        raise UsageError(
            f"{name!r} leads out of the dataset",
            where=where,
            next_step="Names of files must lie below the folder of their metadata.",
        )
    return inside


def _stays(root: Path, file: Path) -> bool:
    """Links of the Hub's own cache lead from a snapshot to the blobs beside it."""
    allowed = [root]
    allowed += [place.parent / "blobs" for place in root.parents if place.name == "snapshots"]
    real = file.resolve()
    return any(real.is_relative_to(place) for place in allowed)
