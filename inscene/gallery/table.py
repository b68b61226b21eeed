"""A table of photos: CSV or Parquet with the columns path and identity.

Paths are relative to the table and stay below its folder: an absolute path, ``..`` and a link that
leads out are refused before any photo is opened, whoever wrote the table. So a table from others
makes nothing readable that does not lie beside it. A Parquet file that holds images is no such
table: its cells have the bytes, and a path in a cell of it is never opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from inscene.dataset.parquet import open_parquet, read_group
from inscene.dataset.sources import Input, image_input
from inscene.dataset.store import is_url, readable_name
from inscene.errors import UsageError
from inscene.gallery.sidecar import normal_path, read_csv
from inscene.suggest import did_you_mean

COLUMNS = ("path", "identity", "split", "licence", "consent", "source_url")
"""Those that are read; further ones are left alone."""
NEEDED = ("path", "identity")


def is_table(source: str) -> bool:
    """Whether it is a CSV, or a Parquet file of paths and people and not of images."""
    if source.endswith(".csv"):
        return True
    if is_url(source) or not source.endswith(".parquet") or not Path(source).is_file():
        return False
    try:
        with open_parquet(source) as parquet:
            schema = parquet.schema_arrow
    except (pa.ArrowInvalid, OSError):
        return False  # reading it says what is wrong
    holds_bytes = any(
        pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        for kind in schema.types
    )
    return not holds_bytes and set(NEEDED) <= set(schema.names)


def list_table(source: str) -> list[Input]:
    """An input for each row, named by its path. Raises ``UsageError`` with the place for a row that
    makes no sense or leads out of the table's folder."""
    if is_url(source):
        raise UsageError(
            "a table of photos is read from this machine only",
            where=source,
            next_step="Copy it here, with the photos beside it.",
        )
    table = Path(os.path.abspath(source))
    if not table.is_file():
        raise UsageError("there is no such file", where=source)
    root = table.parent.resolve()
    inputs: dict[str, Input] = {}
    for place, row in _rows(table):
        where = f"{table}: {place}"
        path = normal_path(row.get("path"), where)
        file = table.parent / path
        if not _below(file, root):
            raise UsageError(f"{path!r} is a link that leads out of the folder", where=where)
        name = readable_name(path)
        if name in inputs:
            raise UsageError(f"{path!r} occurs twice", where=where)
        known = {key: _text(row.get(key)) for key in COLUMNS if key not in ("path", "split")}
        columns = {key: value for key, value in known.items() if value is not None}
        inputs[name] = image_input(
            name, _text(row.get("split")), file, {**columns, "source": readable_name(table.stem)}
        )
    if not inputs:
        raise UsageError("has no rows", where=source)
    return list(inputs.values())


def _rows(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if table.suffix == ".csv":
        header, rows = read_csv(table)
        _check_header(header, table)
        yield from rows
        return
    with open_parquet(str(table)) as parquet:
        names = parquet.schema_arrow.names
        _check_header(set(names), table)
        number = 0
        wanted = [name for name in COLUMNS if name in names]
        for group in range(parquet.num_row_groups):
            for row in read_group(parquet, group, wanted).to_pylist():
                number += 1
                yield f"row {number}", row


def _check_header(names: set[str], table: Path) -> None:
    for name in NEEDED:
        if name not in names:
            raise UsageError(
                f"has no column {name!r}", where=str(table), next_step=did_you_mean(name, names)
            )


def _below(file: Path, root: Path) -> bool:
    """Whether the file that a path stands for, all links followed, is in the folder."""
    try:
        return file.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # links in a circle: reading it says so
        return True


def _text(value: Any) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None
