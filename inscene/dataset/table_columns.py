"""How the columns of a Parquet file are read, whoever wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

import pyarrow as pa

from inscene.dataset.foreign import Columns, Table, is_own, map_columns, peeked, storage
from inscene.dataset.parquet import ParquetFile, read_group
from inscene.dataset.schema_map import MAP_FILE, SchemaMap
from inscene.dataset.store import Store, readable_name
from inscene.errors import UsageError
from inscene.schema import IMAGE, PAIRS, SCENES

PEEK_GROUPS = 8
"""At most so many row groups are looked into, to find out what a column holds."""


def parquet_names(store: Store, *, nested: bool) -> list[str]:
    """In ``data/``, beside each other, or where ``nested`` in folders, as the Hub's own conversions
    are."""
    patterns = ["data/*.parquet", "*.parquet"]
    if nested and not store.list("*/run/recipe.json"):  # several datasets are no table
        patterns += ["*/*.parquet", "*/*/*.parquet"]
    for pattern in patterns:
        # What this tool publishes has a copy without the images in metadata/.
        names = [name for name in store.list(pattern) if not name.startswith("metadata/")]
        if names:
            return names
    return []


def file_labels(files: Iterable[str], root: str) -> dict[str, str]:
    """Each file -> what begins the ids of its rows: its name, or its path where names repeat."""
    names = {file: readable_name(PurePosixPath(file).name) for file in files}
    counts = Counter(names.values())
    inside = {file: readable_name(file.removeprefix(root).lstrip("/")) for file in names}
    return {file: name if counts[name] == 1 else inside[file] for file, name in names.items()}


def made_id(label: str, group: int, row: int) -> str:
    """Of a row that has no ``sample_id``; ``row`` counts within its row group."""
    return f"{label}#{group}.{row}"


def read_as(parquet: ParquetFile, file: str, said: SchemaMap) -> Columns:
    """How the rows of a file are read. Raises :class:`UsageError` where that is not clear."""
    schema = parquet.schema_arrow
    if is_own(schema):
        return _own_columns(schema, file)
    names = peeked(schema, said)
    rows = (
        row
        for group in range(min(parquet.num_row_groups, PEEK_GROUPS) if names else 0)
        for row in read_group(parquet, group, names).to_pylist()
    )
    reading = map_columns(Table.of_schema(file, schema, rows), said)
    _check_columns(schema, file, reading)
    return reading


CLEAN = ("image", "hq", "gt_face")
"""The clean image of scenes, of pairs and of face pairs."""


def _own_columns(schema: pa.Schema, file: str) -> Columns:
    _check_columns(schema, file, Columns(()))
    found = {field.name for field in schema if field.type == IMAGE}
    image = next((name for name in CLEAN if name in found), None)
    if image is None and len(found) == 1:
        image = min(found)
    if image is None:
        raise UsageError(
            f"has several image columns: {', '.join(sorted(found))}"
            if found
            else "has no image column",
            where=file,
            next_step="Scenes have image, pairs have lq and hq.",
        )
    own = {name: name for name in sorted(found)} | {"image": image}
    return Columns(tuple(own.items()), own=True)


def _check_columns(schema: pa.Schema, file: str, reading: Columns) -> None:
    """A column that has a name of ours must hold what ours holds: it goes into the new table."""
    told = {theirs for _, theirs in (*reading.theirs, *((n, n) for n, _ in reading.unread))}
    for column in (*SCENES.columns, *PAIRS.columns):
        if column.type == IMAGE or column.name not in schema.names or column.name in told:
            continue
        found = schema.field(column.name).type
        if not _fits(found, column.type):
            raise UsageError(
                f"the column {column.name!r} holds {found}, where this tool's hold {column.type}",
                where=file,
                next_step="Rename the column, convert it, or leave it out: "
                f"ignore: [{column.name}] in {MAP_FILE}.",
            )


def _fits(found: pa.DataType, ours: pa.DataType) -> bool:
    """The same, or the same but for its width."""
    found, kinds = storage(found), pa.types
    if found == ours or kinds.is_null(found):
        return True
    if kinds.is_string(ours):
        return bool(kinds.is_large_string(found))
    if kinds.is_integer(ours):
        return bool(kinds.is_integer(found))
    if kinds.is_floating(ours):
        return bool(kinds.is_floating(found) or kinds.is_integer(found))
    if kinds.is_list(ours) and hasattr(found, "value_type"):
        return _fits(found.value_type, ours.value_type)
    return False
