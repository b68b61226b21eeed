"""What is known of photos, in a file beside them: licence, consent, motion blur.

A CSV with a header, or JSON or YAML: a list of entries, or a mapping from path to entry. An entry
speaks of a photo, or of all photos below a folder; ``.`` is all of them. Of two that speak of one
photo, the nearer one counts, value by value.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from inscene.errors import UsageError
from inscene.suggest import did_you_mean

NAMES = ("sidecar.csv", "sidecar.json", "sidecar.yaml", "sidecar.yml")
"""A file of this name in a folder of photos is read without being asked for."""
WORDS = ("licence", "consent", "source_url")
BLUR = "motion_blur"
KEYS = ("path", *WORDS, BLUR)
UNKNOWN = "unknown"
MAX_BYTES = 64 * 2**20
_SPELT = {"license": "licence"}
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class Sidecar:
    """What a file says, by path."""

    file: Path
    entries: Mapping[str, Mapping[str, Any]]
    """Normal relative path, of a photo or a folder -> values of :data:`WORDS` and :data:`BLUR`."""
    _used: set[str] = field(default_factory=set)

    def of(self, path: str) -> dict[str, Any]:
        """All that is said of the photo with this path below the folder; what nothing is said of is
        not there."""
        photo = PurePosixPath(path)
        said: dict[str, Any] = {}
        for place in reversed([photo, *photo.parents]):
            if (entry := self.entries.get(str(place))) is not None:
                self._used.add(str(place))
                said.update(entry)
        return said

    @property
    def unused(self) -> list[str]:
        """Paths that no photo asked for so far has: misspelt, or photos that are gone."""
        return sorted(set(self.entries) - self._used)


def find_sidecar(folder: Path) -> Path | None:
    """That of a folder of photos, where it has one. Raises ``UsageError`` where it has several."""
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise UsageError(
            f"has {' and '.join(path.name for path in found)}",
            where=str(folder),
            next_step="Leave one.",
        )
    return found[0] if found else None


def read_sidecar(file: Path) -> Sidecar:
    """Raises ``UsageError``, with the place, for what cannot be understood."""
    entries: dict[str, dict[str, Any]] = {}
    for place, values in _entries(file):
        where = f"{file}: {place}"
        path, said = _checked(values, where)
        if path in entries:
            raise UsageError(f"a second entry for {path!r}", where=where)
        entries[path] = said
    return Sidecar(file, entries)


def read_text(file: Path) -> str:
    """Of a small text file. Raises ``UsageError``."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(f"has more than {MAX_BYTES // 2**20} MB", where=str(file))
        return data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError("cannot be read", where=str(file), why=f"{error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8 text", where=str(file)) from error


def read_csv(file: Path) -> tuple[set[str], list[tuple[str, dict[str, Any]]]]:
    """Names in the header of a CSV, and its rows, each with its place; an empty field is none.
    Raises ``UsageError``."""
    reader = csv.DictReader(io.StringIO(read_text(file), newline=""), strict=True)
    rows = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise UsageError(
                    "has another number of fields than the header",
                    where=f"{file}:{reader.line_num}",
                )
            rows.append((f"line {reader.line_num}", {k.strip(): v for k, v in row.items() if v}))
    except csv.Error as error:
        raise UsageError(f"{error}", where=f"{file}:{reader.line_num}") from error
    if not reader.fieldnames:
        raise UsageError("is empty: a header is needed", where=str(file))
    return {name.strip() for name in reader.fieldnames}, rows


def _entries(file: Path) -> list[tuple[str, dict[str, Any]]]:
    if file.suffix.lower() == ".csv":
        return read_csv(file)[1]
    text = read_text(file)
    try:
        data = json.loads(text) if file.suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        why = str(error).replace("\n", " ")
        raise UsageError("cannot be read", where=str(file), why=f"{why}.") from error
    if isinstance(data, dict):
        data = [
            {"path": path, **entry} if isinstance(entry, dict) else None
            for path, entry in data.items()
        ]
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise UsageError(
            "is neither a list of entries nor a mapping from path to entry",
            where=str(file),
            next_step='An entry is, for example, {"path": "anna", "licence": "CC-BY-4.0"}.',
        )
    return [(f"entry {number}", dict(entry)) for number, entry in enumerate(data, 1)]


def _checked(values: dict[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    values = {_SPELT.get(key, key): value for key, value in values.items()}
    for key in values:
        if key not in KEYS:
            raise UsageError(
                f"unknown key {key!r}", where=where, next_step=did_you_mean(str(key), KEYS)
            )
    if not values.get("path"):
        raise UsageError("has no path", where=where, next_step="'.' stands for all photos.")
    path = normal_path(values["path"], where)
    said: dict[str, Any] = {}
    for key in WORDS:
        value = values.get(key)
        if value is None:
            continue
        if not isinstance(value, str):  # YAML's `no` is false
            raise UsageError(
                f"{key}: a text is needed, got {value!r}", where=where, next_step="Quote it."
            )
        if value.strip():
            said[key] = value.strip()
    if values.get(BLUR) is not None:
        said[BLUR] = _yes_or_no(values[BLUR], where)
    return path, said


def _yes_or_no(value: Any, where: str) -> bool:
    word = str(value).strip().lower()
    if word in (*_YES, *_NO):
        return word in _YES
    raise UsageError(f"{BLUR}: yes or no is needed, got {value!r}", where=where)


def normal_path(path: Any, where: str) -> str:
    """A relative path without ``.`` and ``..``. Raises ``UsageError`` for one that leads out."""
    text = str(path).strip() if isinstance(path, str) else ""
    parts = PurePosixPath(text).parts
    if not text or "\0" in text or text.startswith(("/", "~")) or "://" in text or "\\" in text:
        raise UsageError(
            f"{path!r} is no relative path",
            where=where,
            next_step="Paths are those below the folder of the file, with '/'.",
        )
    if ".." in parts or (len(text) > 1 and text[1] == ":"):
        raise UsageError(f"{path!r} leads out of its folder", where=where)
    return str(PurePosixPath(*parts))


def whole_folder(licence: str | None, consent: str | None) -> dict[str, str]:
    """``--licence`` and ``--consent``, where they were given. Raises ``UsageError`` for nothing in
    words."""
    given = {"licence": licence, "consent": consent}
    for name, value in given.items():
        if value is not None and not value.strip():
            raise UsageError(f"--{name} is empty", next_step="Leave it out: it is then unknown.")
    return {name: value.strip() for name, value in given.items() if value is not None}


def said_of(
    path: str, sidecar: Sidecar | None, known: Mapping[str, Any], whole: Mapping[str, str]
) -> dict[str, Any]:
    """Columns of one photo: what the sidecar says counts more than what its table or folder does
    (``known``), and that more than what was said of all (``whole``)."""
    said = sidecar.of(path) if sidecar is not None else {}
    at_hand = {key: value for key, value in known.items() if value not in (None, "", UNKNOWN)}
    return {**whole, **at_hand, **said}


def unused_note(sidecars: Sequence[Sidecar]) -> list[str]:
    """A word on entries that no photo has, for people."""
    notes = []
    for sidecar in sidecars:
        if unused := sidecar.unused:
            more = f" and {len(unused) - 1} more" if unused[1:] else ""
            notes.append(f"{sidecar.file}: no photo here is {unused[0]!r}{more}")
    return notes
