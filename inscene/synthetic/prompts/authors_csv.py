"""The authors' prompts: a CSV of prompt, identity and file, read unchanged.

It lists accepted images, not requests: a row that occurs again asks for one image more.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from inscene import images
from inscene.errors import UsageError
from inscene.suggest import did_you_mean

Mode = Literal["image", "rows3"]
"""``image``: a row is an image. ``rows3``: a row is three images, as in the authors' script."""

_COLUMNS = ("prompt", "identity", "file_id")
_SHOWN = 3


@dataclass(frozen=True)
class CsvRow:
    prompt: str
    identity: str
    """As it stands there: "00289" keeps its zeros."""
    file_id: str
    """File name of the reference, below the identity's folder."""
    line: int
    """Of the file, where the row begins."""


def read_authors_csv(path: Path) -> list[CsvRow]:
    """The rows in their order. Columns beside the three are left alone.

    Raises :class:`UsageError` with the lines of what does not fit.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")  # line ends within a prompt stay
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot be read", where=str(path), why=f"{error}.") from error
    rows: list[CsvRow] = []
    faults: list[tuple[int, str]] = []
    header: list[str] | None = None
    for line, cells in _records(text, path):
        if header is None:
            header = _checked_header(cells, path, line)
            continue
        if len(cells) != len(header):
            faults.append((line, f"{len(cells)} cells, where the header has {len(header)}"))
            continue
        row = CsvRow(**{name: cells[header.index(name)] for name in _COLUMNS}, line=line)
        if fault := _fault(row):
            faults.append((line, fault))
        rows.append(row)
    if header is None or not (rows or faults):
        raise UsageError("holds no rows", where=str(path))
    if faults:
        more = f" {len(faults) - _SHOWN} more rows are wrong." if len(faults) > _SHOWN else ""
        raise UsageError(
            faults[0][1],
            where=f"{path}:{faults[0][0]}",
            why=" ".join(f"Line {line}: {what}." for line, what in faults[1:_SHOWN]) + more,
        )
    return rows


def _records(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Every record that is not an empty line, with the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UsageError("is not valid CSV", where=f"{path}:{line}", why=f"{error}.") from error


def _checked_header(cells: list[str], path: Path, line: int) -> list[str]:
    for name in _COLUMNS:
        if cells.count(name) != 1:
            count = cells.count(name)
            raise UsageError(
                f"has {count} columns {name!r}" if count else f"has no column {name!r}",
                where=f"{path}:{line}",
                why=f"The first line must be {','.join(_COLUMNS)}, with commas.",
                next_step="" if count else did_you_mean(name, cells),
            )
    return cells


def _fault(row: CsvRow) -> str:
    for name in _COLUMNS:
        value: str = getattr(row, name)
        if not value.strip():
            return f"{name} is empty"
        if name != "prompt" and (value != value.strip() or not value.isprintable()):
            return f"{name} {value!r} has blanks around it or unprintable characters"
    if "/" in row.identity or "\\" in row.identity or row.identity in (".", ".."):
        return f"identity {row.identity!r} is not the name of a folder"
    file = PurePosixPath(row.file_id)
    if file.is_absolute() or ".." in file.parts or "\\" in row.file_id:
        return f"file_id {row.file_id!r} leads out of the identity's folder"
    if file.suffix.lower() not in images.IMAGE_SUFFIXES:
        return f"file_id {row.file_id!r} is not named like an image"
    return ""


def repeats(rows: Sequence[CsvRow], mode: Mode = "image") -> Iterator[tuple[CsvRow, int]]:
    """Every image that is asked for, as its row and the number of its repeat, from 0.

    Rows that are alike count on: which of them is the first is of no matter.
    """
    each = {"image": 1, "rows3": 3}[mode]
    seen: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        key = (row.identity, row.file_id, row.prompt)
        for _ in range(each):
            yield row, seen[key]
            seen[key] += 1
