"""Where inputs come from: image files, folders of them, Parquet files and datasets, by path or URL.

Listing gives ids and places, never pixels; reading happens in the worker that needs the bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from inscene import images
from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import ParquetFile, open_parquet, read_group
from inscene.dataset.store import is_url, open_store
from inscene.errors import SampleError, UsageError
from inscene.recipe import content_hash
from inscene.schema import IMAGE, PAIRS, SCENES


@dataclass(frozen=True)
class Input:
    """One input of a run: a name of its own, and where its bytes are."""

    id: str
    split: str | None
    file: str
    """Path or URL."""
    row_group: int = -1
    """Where in a Parquet file; -1 for an image file."""
    row: int = -1
    image_column: str = "image"
    state: str = ""
    """Changes when the content does: a resumed run must not mix old and new."""
    columns: tuple[tuple[str, Any], ...] = ()
    """What is known of it beside its bytes, as JSON values: the row of an image file begins with
    them, over what the file itself says. Part of ``state``: see :func:`image_input`."""


def image_input(
    name: str, split: str | None, file: Path, columns: Mapping[str, Any] | None = None
) -> Input:
    """The input of one image file, with what is known of it. A file that is not there is an input
    too: reading it gives the reason."""
    path = Path(os.path.abspath(file))  # a worker may have another working directory
    known = tuple(sorted((columns or {}).items()))
    state = _file_state(path)
    if known:
        state += f"-{content_hash(known)[:16]}"
    return Input(name, split, str(path), state=state, columns=known)


def list_inputs(sources: Sequence[str], needs: Sequence[str] = ()) -> list[Input]:
    """Every input of the sources, sorted by id. With several folders, ids begin with their names.

    ``needs`` are image columns that they must have beside the clean image.

    Raises :class:`UsageError` for a source that is missing, empty, unfinished or ambiguous, and for
    ids that repeat.
    """
    inputs: list[Input] = []
    names = [_base_name(source) for source in sources]
    if len(set(names)) < len(names):
        raise UsageError(
            f"two sources are named {max(names, key=names.count)!r}",
            why="Their samples could not be told apart.",
            next_step="Rename one, or run them separately.",
        )
    for source, name in zip(sources, names, strict=True):
        found = _list_source(source)
        if needs and any(entry.row_group < 0 for entry in found):
            raise UsageError(
                f"holds images, and no column {needs[0]!r}",
                where=source,
                next_step="Pairs are needed: make them with inscene degrade.",
            )
        for file in sorted({entry.file for entry in found if entry.row_group >= 0}):
            _check_needs(file, needs)
        if not found:
            raise UsageError("holds no images", where=source, next_step="Is it the right folder?")
        alone = len(sources) == 1 or [entry.id for entry in found] == [name]  # a single file
        prefix = "" if alone else f"{name}/"
        inputs += [_renamed(entry, prefix + entry.id) for entry in found]
    inputs.sort(key=lambda entry: entry.id)
    for one, other in itertools.pairwise(inputs):
        if one.id == other.id:
            raise UsageError(f"the id {one.id!r} occurs twice", where=f"{one.file}, {other.file}")
    return inputs


def _renamed(entry: Input, name: str) -> Input:
    return replace(entry, id=name)


def _check_needs(file: str, needs: Sequence[str]) -> None:
    if needs:
        with _open_parquet(file) as parquet:
            missing = set(needs) - set(parquet.schema_arrow.names)
        if missing:
            raise UsageError(
                f"has no column {min(missing)!r}",
                where=file,
                next_step="Pairs are needed: make them with inscene degrade.",
            )


def _base_name(source: str) -> str:
    name = source.rstrip("/") if is_url(source) else os.path.abspath(source)
    return readable_name(PurePosixPath(name).name)


def readable_name(name: str) -> str:
    """A file name as valid Unicode: bytes that are none are written as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _list_source(source: str) -> list[Input]:
    if is_url(source) and not source.startswith("file://"):
        return _list_url(source)
    # Absolute: a worker may have another working directory.
    path = Path(os.path.abspath(source.removeprefix("file://")))
    if path.is_dir():
        if shards := _dataset_files(str(path)):
            return _list_parquet(shards)
        photos = list(images.iter_image_files(path))
        if parquet := sorted(path.glob("*.parquet")):
            if photos:
                raise UsageError(
                    f"holds {len(photos)} images and {len(parquet)} Parquet files",
                    where=source,
                    next_step="Name the one that is meant, or move the others away.",
                )
            return _list_parquet({str(file): _file_state(file) for file in parquet})
        return [
            image_input(readable_name(file.relative_to(path).as_posix()), None, file)
            for file in photos
        ]
    if not os.path.lexists(path):
        raise UsageError("there is no such file or folder", where=source)
    if path.suffix == ".parquet":
        return _list_parquet({str(path): _file_state(path)})
    return [image_input(readable_name(path.name), None, path)]


def _file_state(path: Path) -> str:
    """Size and time of change; hashing every photo before a run would cost as much as the run."""
    try:
        status = path.stat()
    except OSError:
        return "unreadable"
    return f"{status.st_size}-{status.st_mtime_ns}"


def _dataset_files(root: str) -> dict[str, str]:
    """The data files of a dataset folder, once its run is complete, each with its state."""
    store = open_store(root)
    ledger = Ledger(store)
    if not ledger.exists():
        names = store.list("data/*.parquet")
        return {store.describe(name): str(store.size(name)) for name in names}
    shards = list(ledger.records())
    done = [(shard.data_file, record) for shard, record in shards if record is not None]
    if len(done) < len(shards):
        raise UsageError(
            f"is unfinished: {len(done)} of {len(shards)} shards are done",
            where=root,
            next_step="Run the command that makes it again: it resumes.",
        )
    return {store.describe(name): str(record.files[name]["sha256"]) for name, record in done}


def _list_url(url: str) -> list[Input]:
    if url.endswith(".parquet"):
        return _list_parquet({url: ""})
    if shards := _dataset_files(url):
        return _list_parquet(shards)
    store = open_store(url)
    if parquet := store.list("*.parquet"):
        return _list_parquet({store.describe(name): str(store.size(name)) for name in parquet})
    names = [name for name in store.list("**") if _is_image_name(name)]
    if not names and _is_image_name(url):
        return [Input(_base_name(url), None, url)]
    return [Input(name, None, store.describe(name)) for name in names]


def _is_image_name(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in images.IMAGE_SUFFIXES


def _list_parquet(files: Mapping[str, str]) -> list[Input]:
    """Inputs of Parquet files, given with their states."""
    inputs: list[Input] = []
    for file, state in files.items():
        with _open_parquet(file) as parquet:
            _check_columns(parquet.schema_arrow, file)
            image_column = _image_column(parquet.schema_arrow, file)
            for group in range(parquet.num_row_groups):
                for row, (name, split) in enumerate(_ids(parquet, group, file)):
                    inputs.append(Input(name, split, file, group, row, image_column, state))
    return inputs


def _ids(parquet: ParquetFile, group: int, file: str) -> list[tuple[str, str | None]]:
    wanted = ("sample_id", "version", "split")
    present = [name for name in wanted if name in parquet.schema_arrow.names]
    count = parquet.metadata.row_group(group).num_rows
    columns = read_group(parquet, group, present).to_pydict() if present else {}
    made = [f"{_base_name(file)}#{group}.{n}" for n in range(count)]
    ids = [name or own for name, own in zip(columns.get("sample_id") or made, made, strict=True)]
    versions = columns.get("version") or [None] * count
    splits = columns.get("split") or [None] * count
    return [
        (name if version is None else f"{name}@{version}", split)
        for name, version, split in zip(ids, versions, splits, strict=True)
    ]


def _check_columns(schema: pa.Schema, file: str) -> None:
    """A column that has a name of ours must hold what ours holds: it goes into the new table."""
    for column in (*SCENES.columns, *PAIRS.columns):
        if column.type == IMAGE or column.name not in schema.names:
            continue
        found = schema.field(column.name).type
        if found != column.type:
            raise UsageError(
                f"the column {column.name!r} holds {found}, where this tool's hold {column.type}",
                where=file,
                next_step="Rename the column, or convert it.",
            )


def _image_column(schema: pa.Schema, file: str) -> str:
    """The column that is the clean image: ``image``, ``hq`` of pairs, or the only image there."""
    found: list[str] = [
        field.name for field in schema if field.type in (IMAGE, pa.binary(), pa.large_binary())
    ]
    for name in ("image", "hq"):
        if name in found:
            return name
    if len(found) == 1:
        return found[0]
    raise UsageError(
        "has no image column" if not found else f"has several image columns: {', '.join(found)}",
        where=file,
        next_step="Name the column 'image'.",
    )


def _open_parquet(file: str) -> ParquetFile:
    try:
        if is_url(file):
            import fsspec

            return open_parquet(fsspec.open(file, "rb").open())
        return open_parquet(file)
    except pa.ArrowInvalid as error:
        raise UsageError("is not a Parquet file", where=file, why=f"{error}.") from error


def read_inputs(
    inputs: Sequence[Input], needs: Sequence[str] = ()
) -> Iterator[tuple[Input, dict[str, Any] | SampleError]]:
    """The columns of each input, or why it has none. ``image`` is always among them.

    Image files give ``image``, ``sha256``, ``source`` and the input's own columns. Image cells must
    hold their bytes: a path in a cell is never opened.
    """
    group: tuple[str, int] | None = None
    table: pa.Table | None = None
    problem = ""
    for entry in inputs:
        if entry.row_group < 0:
            yield entry, _read_image_file(entry)
            continue
        if group != (entry.file, entry.row_group):
            table, problem = _read_row_group(entry)
            group = (entry.file, entry.row_group)
        if table is None:
            yield entry, SampleError("parquet_unreadable", problem)
            continue
        row: dict[str, Any] = table.slice(entry.row, 1).to_pylist()[0]
        yield entry, _with_images(row, entry, needs)


def _read_row_group(entry: Input) -> tuple[pa.Table | None, str]:
    """The table, or None and why: a damaged group costs its own rows and no others."""
    try:
        with _open_parquet(entry.file) as parquet:
            return read_group(parquet, entry.row_group), ""
    except (OSError, pa.ArrowException, UsageError) as error:
        return None, f"row group {entry.row_group} of {_base_name(entry.file)}: {error}"


def _read_image_file(entry: Input) -> dict[str, Any] | SampleError:
    try:
        data = images.read_bytes(entry.file)
    except SampleError as error:
        return error
    return {
        "sample_id": entry.id,
        "image": {"bytes": data, "path": readable_name(PurePosixPath(entry.file).name)},
        "sha256": hashlib.sha256(data).hexdigest(),
        "source": readable_name(PurePosixPath(entry.file).parent.name),
        **dict(entry.columns),
    }


def _with_images(
    row: dict[str, Any], entry: Input, needs: Sequence[str]
) -> dict[str, Any] | SampleError:
    row["sample_id"] = row.get("sample_id") or entry.id
    cell = row.pop(entry.image_column)
    row["image"] = cell if isinstance(cell, dict) else {"bytes": cell, "path": None}
    if entry.image_column == "hq":
        row["hq"] = row["image"]
    for name in ("image", *needs):
        if not (row.get(name) or {}).get("bytes"):
            return SampleError("image_bytes_missing", f"the cell {name!r} holds no bytes")
    row["image"]["path"] = PurePosixPath(row["image"]["path"] or entry.id).name
    row["sha256"] = row.get("sha256") or hashlib.sha256(row["image"]["bytes"]).hexdigest()
    row["source"] = row.get("source") or _base_name(
        entry.file.rpartition("/data/")[0] or entry.file
    )
    return row
