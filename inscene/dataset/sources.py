"""Where inputs come from: image files, folders of them, Parquet files and datasets, by path, by URL
or on the Hugging Face Hub.

Listing gives ids and places, never pixels; reading happens in the worker that needs the bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from inscene import images
from inscene.dataset import closing, image_folder
from inscene.dataset.foreign import Columns, is_own
from inscene.dataset.hub_source import is_hub, read_hub_image, without_revision
from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import ParquetFile, read_group
from inscene.dataset.row_reader import RowReader, open_file
from inscene.dataset.schema_map import SchemaMap
from inscene.dataset.store import Store, is_url, open_store, readable_name
from inscene.dataset.table_columns import CLEAN, file_labels, made_id, parquet_names, read_as
from inscene.dataset.tombstones import UNFINISHED
from inscene.dataset.webdataset import Member, is_tar_name, list_archives, read_member, tar_names
from inscene.errors import SampleError, UsageError
from inscene.recipe import content_hash


@dataclass(frozen=True)
class Input:
    """One input of a run: a name of its own, and where its bytes are."""

    id: str
    split: str | None
    file: str
    """Path or URL."""
    row_group: int = -1
    """Where in a Parquet file; -1 for an image file, or an image in a tar."""
    row: int = -1
    image_column: str = "image"
    state: str = ""
    """Changes when the content does: a resumed run must not mix old and new."""
    columns: tuple[tuple[str, Any], ...] = ()
    """What is known of it beside its bytes, as JSON values: the row of an image file begins with
    them, over what the file itself says; that of a table has them where the table says nothing.
    Part of ``state``: see :func:`image_input`."""
    reading: Columns | None = None
    """Of a row: how its table is read."""
    beside: tuple[tuple[str, str], ...] = ()
    """Of an image file: further image columns, and the files that they are in."""
    member: Member | None = None
    """Of a tar, which ``file`` then is."""

    def has(self, column: str) -> bool:
        """Whether it gives this image column beside the clean image."""
        if self.row_group < 0:
            return column in dict(self.beside) or (column == "hq" and bool(self.beside))
        return self.reading is not None and self.reading.find(column) is not None


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
        for need in needs:
            _check_need(source, found, need)
        if not found:
            raise UsageError("holds no images", where=source, next_step="Is it the right folder?")
        alone = len(sources) == 1 or _is_one_file(found, name)
        prefix = "" if alone else f"{name}/"
        inputs += [_renamed(entry, prefix + entry.id) for entry in found]
    inputs.sort(key=lambda entry: entry.id)
    for one, other in itertools.pairwise(inputs):
        if one.id == other.id:
            raise UsageError(f"the id {one.id!r} occurs twice", where=f"{one.file}, {other.file}")
    return inputs


def _is_one_file(found: Sequence[Input], name: str) -> bool:
    """Ids of these begin with the source's name as they are."""
    in_one_tar = all(entry.member and entry.id.startswith(f"{name}/") for entry in found)
    return in_one_tar or [entry.id for entry in found] == [name]


def _renamed(entry: Input, name: str) -> Input:
    return replace(entry, id=name)


def _check_need(source: str, found: Sequence[Input], column: str) -> None:
    if all(entry.has(column) for entry in found):
        return
    having = [entry for entry in found if entry.has(column)]
    rows = [entry.file for entry in found if entry.row_group >= 0 and not entry.has(column)]
    if rows:
        problem = f"has no column {column!r}"
    elif having:
        problem = f"has no {column!r} beside some of its images"
    else:
        problem = f"holds images, and no column {column!r}"
    raise UsageError(
        problem,
        where=min(rows, default=source),
        next_step=f"Name what has it: {_place(source, having)}"
        if having
        else "Pairs are needed: make them with inscene degrade.",
    )


def _place(source: str, having: Sequence[Input]) -> str:
    if files := sorted({entry.file for entry in having if entry.row_group >= 0}):
        return _pattern(files)
    first = min(entry.id for entry in having).partition("/")[0]
    return f"{source.rstrip('/')}/{first}"


def _pattern(files: Sequence[str]) -> str:
    if len(files) == 1:
        return files[0]
    first, last = min(files), max(files)  # what these share begins all of them
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return f"{''.join(one for one, _ in same)}*.parquet"


def _base_name(source: str) -> str:
    name = without_revision(source.rstrip("/")) if is_url(source) else os.path.abspath(source)
    return readable_name(PurePosixPath(name).name)


def _list_source(source: str) -> list[Input]:
    if is_url(source) and not source.startswith("file://"):
        return _list_url(source)
    # Absolute: a worker may have another working directory.
    path = Path(os.path.abspath(source.removeprefix("file://")))
    if path.is_dir():
        store = open_store(path)
        if shards := _dataset_files(store):
            return _list_parquet(shards, store)
        if image_folder.is_one(store):
            return list_image_folder(store)
        photos = list(images.iter_image_files(path))
        tars = tar_names(store, nested=not photos)
        parquet = _plain_files(store, nested=not photos, beside=tars)
        held = {"images": len(photos), "tars": len(tars), "Parquet files": len(parquet)}
        if len(kinds := [f"{count} {what}" for what, count in held.items() if count]) > 1:
            raise UsageError(
                f"holds {' and '.join(kinds)}",
                where=source,
                next_step="Name the one that is meant, or move the others away.",
            )
        if parquet:
            return _list_parquet(parquet, store)
        if tars:
            return _list_tars(store, tars)
        return [
            image_input(readable_name(file.relative_to(path).as_posix()), None, file)
            for file in photos
        ]
    if not os.path.lexists(path):
        raise UsageError("there is no such file or folder", where=source)
    if path.suffix == ".parquet":
        return _list_parquet({str(path): _file_state(path)}, open_store(path.parent))
    if is_tar_name(path.name):
        return _list_tars(open_store(path.parent), [path.name])
    return [image_input(readable_name(path.name), None, path)]


def _file_state(path: Path) -> str:
    """Size and time of change; hashing every photo before a run would cost as much as the run."""
    try:
        status = path.stat()
    except OSError:
        return "unreadable"
    return f"{status.st_size}-{status.st_mtime_ns}"


def _dataset_files(store: Store) -> dict[str, str]:
    """The data files of a dataset folder, once its run is complete, each with its state."""
    ledger = Ledger(store)
    if not ledger.exists():
        return _states(store, store.list("data/*.parquet"))
    if store.size(UNFINISHED) is not None:
        raise UsageError(
            "is forgetting samples, or was killed at it",
            where=store.root,
            next_step=f"inscene forget {store.root} finishes it.",
        )
    shards = list(ledger.records())
    done = [(shard.data_file, record) for shard, record in shards if record is not None]
    if len(done) < len(shards):
        raise UsageError(
            f"is unfinished: {len(done)} of {len(shards)} shards are done",
            where=store.root,
            next_step="Run the command that makes it again: it resumes.",
        )
    if closing.still_to_do(ledger):
        raise UsageError(
            f"is unfinished: {', '.join(ledger.closing_steps())} is still to do",
            where=store.root,
            next_step="Run the command that makes it again: it resumes.",
        )
    return {store.describe(name): record.state(name) for name, record in done}


def _plain_files(store: Store, *, nested: bool, beside: Sequence[str] = ()) -> dict[str, str]:
    """Without those that img2dataset writes beside its tars: they hold no images."""
    lists = {f"{name.removesuffix('.tar')}.parquet" for name in beside}
    names = parquet_names(store, nested=nested)
    return _states(store, [name for name in names if name not in lists])


def _list_tars(store: Store, names: Sequence[str]) -> list[Input]:
    """The folder of a split, or the start of a tar's name, says which split it is of."""
    inputs = []
    for name, members in list_archives(store, names):
        split = split_named(name) or _split_of(store)
        place, state = store.describe(name), store.state(name)
        label = readable_name(name)
        inputs += [
            Input(f"{label}/{one.name}", split, place, state=state, member=one) for one in members
        ]
    return inputs


def _states(store: Store, names: Sequence[str]) -> dict[str, str]:
    return {store.describe(name): store.state(name) for name in names}


def _list_url(url: str) -> list[Input]:
    if url.endswith(".parquet"):
        folder, _, pattern = url.rpartition("/")
        if not is_hub(url) and "*" not in pattern:
            return _list_parquet({url: ""}, open_store(folder))
        store = open_store(folder)
        if not (names := store.list(pattern)):
            raise UsageError("there is no such file", where=store.describe(pattern))
        return _list_parquet(_states(store, names), store)
    store = open_store(url)
    if shards := _dataset_files(store):
        return _list_parquet(shards, store)
    if image_folder.is_one(store):
        return list_image_folder(store)
    if parquet := _plain_files(store, nested=is_hub(url)):
        return _list_parquet(parquet, store)
    every = store.list("**")
    names = [name for name in every if _is_image_name(name)]
    if not names and (is_tar_name(url) or any(map(is_tar_name, every))):
        raise UsageError(
            "holds tars, which are read from local folders only",
            where=url,
            next_step="Copy them to this machine, and name the folder.",
        )
    if not names and _is_image_name(url):
        return [Input(_base_name(url), None, url)]
    return [
        Input(name, None, store.describe(name), state=_url_state(store, name)) for name in names
    ]


def _url_state(store: Store, name: str) -> str:
    """Known for nothing on the Hub; elsewhere each would be a request."""
    return store.state(name) if is_hub(store.root) else ""


def _is_image_name(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in images.IMAGE_SUFFIXES


def list_image_folder(store: Store) -> list[Input]:
    """Images beside a metadata.jsonl that describes them, as ``datasets`` has it."""
    inputs = []
    for entry in image_folder.list_entries(store):
        columns = {"source": _base_name(store.root), **entry.columns}
        split = columns.pop("split", None) or split_named(entry.image) or _split_of(store)
        beside = tuple((column, store.describe(name)) for column, name in entry.beside)
        if is_url(store.root):
            known = tuple(sorted(columns.items()))
            files = (entry.image, *(name for _, name in entry.beside))
            state = content_hash([[_url_state(store, name) for name in files], known])
            one = Input(entry.image, split, store.describe(entry.image), state=state, columns=known)
        else:
            one = image_input(entry.image, split, Path(store.describe(entry.image)), columns)
            states = [_file_state(Path(file)) for _, file in beside]
            one = replace(one, state="-".join([one.state, *states]))
        inputs.append(replace(one, beside=beside))
    return inputs


_SPLITS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "dev": "val"}
_SPLITS |= {"test": "test"}
_SPLIT_NAME = re.compile(rf"({'|'.join(_SPLITS)})(?:[-_.]|$)")


def split_named(name: str) -> str | None:
    """What the Hub's libraries take from a path: ``data/train-00000.parquet``, ``validation/…``."""
    *folders, last = PurePosixPath(name).parts
    if found := _SPLIT_NAME.match(last):
        return _SPLITS[found[1]]
    return next((_SPLITS[folder] for folder in reversed(folders) if folder in _SPLITS), None)


def _split_of(store: Store) -> str | None:
    """Of what is itself the folder of one split."""
    return _SPLITS.get(_base_name(store.root))


def _list_parquet(files: Mapping[str, str], store: Store) -> list[Input]:
    """Inputs of Parquet files, given with their states, below the store."""
    inputs: list[Input] = []
    said: SchemaMap | None = None
    known: dict[pa.Schema, Columns] = {}
    labels = file_labels(files, store.root)
    for file, state in files.items():
        with contextlib.closing(open_file(file)) as parquet:
            schema = parquet.schema_arrow.remove_metadata()
            if schema not in known:
                said = said or (SchemaMap() if is_own(schema) else SchemaMap.of(store))
                known[schema] = read_as(parquet, file, said)
            reading = known[schema]
            inside = file.removeprefix(store.root).lstrip("/")
            name = labels[file]
            elsewhere = None if reading.own else split_named(inside) or _split_of(store)
            state = state if reading.own else f"{state}-{content_hash(reading.facts())[:16]}"
            image_column = reading.find("image") or "image"
            for group in range(parquet.num_row_groups):
                for row, (id_, split) in enumerate(_ids(parquet, group, name, reading)):
                    where = (group, row, image_column, state)
                    inputs.append(Input(id_, split or elsewhere, file, *where, reading=reading))
    return inputs


def _ids(
    parquet: ParquetFile, group: int, file: str, reading: Columns
) -> list[tuple[str, str | None]]:
    wanted = {"sample_id", "version", "split"} - dict(reading.unread).keys()
    present = [name for name in parquet.schema_arrow.names if name in wanted]
    count = parquet.metadata.row_group(group).num_rows
    columns = read_group(parquet, group, present).to_pydict() if present else {}
    made = [made_id(file, group, n) for n in range(count)]
    ids = [name or own for name, own in zip(columns.get("sample_id") or made, made, strict=True)]
    versions = columns.get("version") or [None] * count
    splits = columns.get("split") or [None] * count
    return [
        (name if version is None else f"{name}@{version}", split)
        for name, version, split in zip(ids, versions, splits, strict=True)
    ]


def read_inputs(
    inputs: Sequence[Input], needs: Sequence[str] = (), reader: RowReader | None = None
) -> Iterator[tuple[Input, dict[str, Any] | SampleError]]:
    """The columns of each input, or why it has none. ``image`` is always among them.

    Image files give ``image``, ``sha256``, ``source`` and the input's own columns. Image cells must
    hold their bytes: a path in a cell is never opened. With a ``reader`` that lives on, a call for
    the next rows goes on where this one ended.
    """
    with contextlib.ExitStack() as ending:
        reader = reader or ending.enter_context(RowReader())
        for entry in inputs:
            try:
                if entry.row_group < 0:
                    yield entry, _read_image_file(entry)
                else:
                    row = reader.row(entry.file, entry.row_group, entry.row)
                    yield entry, _with_images(row, entry, needs)
            except SampleError as error:
                yield entry, error


def _read_image_file(entry: Input) -> dict[str, Any]:
    data, said = _read_image(entry)
    name = entry.file if entry.member is None else entry.member.name
    row = {
        "sample_id": entry.id,
        "image": {"bytes": data, "path": readable_name(PurePosixPath(name).name)},
        "sha256": hashlib.sha256(data).hexdigest(),
        "source": readable_name(PurePosixPath(entry.file).parent.name),
        **said,
        **dict(entry.columns),
    }
    for column, file in entry.beside:
        name = readable_name(PurePosixPath(file).name)
        row[column] = {"bytes": read_file(file), "path": name}
    if entry.beside:
        row["hq"] = row["image"]
    return row


def read_image(entry: Input) -> bytes:
    """Of an image file, or an image in a tar. Raises :class:`SampleError` for what is none."""
    return _read_image(entry)[0]


def _read_image(entry: Input) -> tuple[bytes, dict[str, Any]]:
    if entry.member is None:
        return read_file(entry.file), {}
    return read_member(entry.file, entry.member)


def read_file(file: str) -> bytes:
    """Of an image, by path or URL. Raises :class:`SampleError` for what is none."""
    return read_hub_image(file) if is_hub(file) else images.read_bytes(file)


def _with_images(raw: dict[str, Any], entry: Input, needs: Sequence[str]) -> dict[str, Any]:
    reading = entry.reading
    row = raw if reading is None else reading.convert(raw)
    if reading is None or reading.own:
        cell = row.pop(entry.image_column)
        row["image"] = cell if isinstance(cell, dict) else {"bytes": cell, "path": None}
        if entry.image_column in CLEAN:
            row[entry.image_column] = row["image"]
    row["sample_id"] = row.get("sample_id") or entry.id
    for name, value in entry.columns:
        if row.get(name) in (None, "", "unknown"):
            row[name] = value
    for name in ("image", *needs):
        if not (row.get(name) or {}).get("bytes"):
            raise SampleError("image_bytes_missing", f"the cell {name!r} holds no bytes")
    row["image"]["path"] = PurePosixPath(row["image"]["path"] or entry.id).name
    row["sha256"] = row.get("sha256") or hashlib.sha256(row["image"]["bytes"]).hexdigest()
    row["source"] = row.get("source") or _base_name(
        entry.file.rpartition("/data/")[0] or entry.file
    )
    return row
