"""Photos as inputs of a run, with whose they are and what is known of their rights."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from inscene.dataset.parquet import read_group
from inscene.dataset.row_reader import open_file
from inscene.dataset.sources import Input, list_inputs
from inscene.dataset.store import is_url
from inscene.errors import UsageError
from inscene.gallery.sidecar import (
    Sidecar,
    find_sidecar,
    read_sidecar,
    said_of,
    unused_note,
    whole_folder,
)
from inscene.gallery.table import is_table, list_table
from inscene.recipe import content_hash

T = TypeVar("T")
OTHERS = "other_photos"
"""Key of a row's columns, of no table: inputs of the same person's gallery, itself among them."""
MOST_PHOTOS = 32
"""Of :data:`OTHERS`, and one more."""


@dataclass
class Rights:
    """What is said of whole sources, by a sidecar or on the command line.

    ``sidecar`` is a file whose paths are sample ids; without it, each source folder may have its
    own, whose paths are below that folder.
    """

    sidecar: Path | None = None
    licence: str | None = None
    consent: str | None = None
    _read: dict[str, Sidecar] = field(default_factory=dict)

    def described(
        self, inputs: Iterable[Input], sources: Sequence[str], *, people: bool = False
    ) -> list[Input]:
        """The inputs with columns licence, consent, source_url and motion_blur, as far as anybody
        says; with ``people``, with the sub-folder that a photo is in as its identity. Raises
        ``UsageError``."""
        whole = whole_folder(self.licence, self.consent)
        given = self._sidecar(self.sidecar) if self.sidecar is not None else None
        roots = sorted(filter(None, map(_root, sources)), key=len, reverse=True)
        found = []
        for entry in inputs:
            root = next((root for root in roots if entry.file.startswith(root)), None)
            below = entry.file[len(root) :] if root and entry.row_group < 0 else entry.id
            if entry.member is not None:
                below = entry.id
            own = given or (self._beside(root) if root else None)
            path = entry.id if given else below
            columns = {**dict(entry.columns), **said_of(path, own, dict(entry.columns), whole)}
            plain = entry.row_group < 0 and entry.member is None and not entry.columns
            if people and root and plain and "/" in below:
                columns["identity"] = below.partition("/")[0]
            found.append(with_columns(entry, columns))
        return found

    def notes(self) -> list[str]:
        """For people, after all inputs are described."""
        return unused_note(list(self._read.values()))

    def _beside(self, root: str) -> Sidecar | None:
        if is_url(root):
            return None
        file = find_sidecar(Path(root))
        return self._sidecar(file) if file is not None else None

    def _sidecar(self, file: Path) -> Sidecar:
        key = os.path.abspath(file)
        if key not in self._read:
            self._read[key] = read_sidecar(Path(key))
        return self._read[key]


def gallery_inputs(
    sources: Sequence[str], needs: Sequence[str], rights: Rights, limit: int | None = None
) -> list[Input]:
    """Every photo of folders, datasets or one table, sorted by id; ``limit`` takes the first.
    Raises ``UsageError``."""
    tables = [source for source in sources if is_table(source)]
    if tables and len(sources) > 1:
        raise UsageError("a table of photos is named alone", where=tables[0])
    if tables:
        inputs = sorted(list_table(tables[0]), key=lambda entry: entry.id)
    else:
        inputs = list_inputs(sources, needs)
    place = [os.path.dirname(os.path.abspath(tables[0]))] if tables else sources
    return rights.described(inputs[:limit], place, people=not tables)


def with_others(inputs: Sequence[Input]) -> list[Input]:
    """The inputs, each with those of its person in :data:`OTHERS`: a few, spread over all of them,
    the same for each of the person's photos. They are inputs themselves, so that the state of the
    run knows of their changes."""
    people = _people(inputs)
    of_person: dict[str, list[Input]] = defaultdict(list)
    for entry in sorted(inputs, key=lambda entry: entry.id):
        if person := people.get(entry.id):
            of_person[person].append(entry)
    chosen = {
        person: tuple(spread(photos, MOST_PHOTOS + 1)) for person, photos in of_person.items()
    }
    found = []
    for entry in inputs:
        others = chosen.get(people.get(entry.id) or "", ())
        more = ((OTHERS, others),) if len(others) > 1 else ()
        found.append(replace(entry, columns=(*entry.columns, *more)))
    return found


def _people(inputs: Sequence[Input]) -> dict[str, str]:
    """Id -> identity, of those that have one: as an input's own columns say, or its table."""
    people = {entry.id: dict(entry.columns).get("identity") for entry in inputs}
    by_file: dict[str, list[Input]] = defaultdict(list)
    for entry in inputs:
        if entry.row_group >= 0 and people[entry.id] is None:
            by_file[entry.file].append(entry)
    for file, entries in by_file.items():
        reading = entries[0].reading
        column = (reading.find("identity") if reading else None) or "identity"
        with contextlib.closing(open_file(file)) as parquet:
            if column not in parquet.schema_arrow.names:
                continue
            for group in sorted({entry.row_group for entry in entries}):
                values = read_group(parquet, group, [column]).column(column).to_pylist()
                people |= {e.id: values[e.row] for e in entries if e.row_group == group}
    return {name: str(person) for name, person in people.items() if person not in (None, "")}


def spread(values: Sequence[T], count: int) -> list[T]:
    """At most so many of them, evenly, the first among them."""
    if len(values) <= count:
        return list(values)
    return [values[index * len(values) // count] for index in range(count)]


def with_columns(entry: Input, columns: Mapping[str, Any]) -> Input:
    """The input with these columns in place of its own, as part of its state."""
    known = tuple(sorted((name, value) for name, value in columns.items() if value is not None))
    if known == entry.columns:
        return entry
    return replace(entry, columns=known, state=f"{entry.state}-{content_hash(known)[:16]}")


def _root(source: str) -> str | None:
    """What the files of a folder begin with; None for a single file."""
    if is_url(source) and not source.startswith("file://"):
        return source.rstrip("/") + "/"
    path = os.path.abspath(source.removeprefix("file://"))
    return path.rstrip("/") + "/" if os.path.isdir(path) else None
