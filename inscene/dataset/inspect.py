"""Looks into a dataset: what is in its columns, without decoding an image."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from inscene import images
from inscene.dataset import image_folder
from inscene.dataset.distribution import Distribution, Gathering, by_count
from inscene.dataset.foreign import Columns, is_image_type, is_own
from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import ParquetFile, open_parquet, read_group
from inscene.dataset.schema_map import SchemaMap
from inscene.dataset.store import Store, is_url, open_store
from inscene.dataset.table_columns import file_labels, made_id, parquet_names, read_as
from inscene.errors import UsageError
from inscene.schema import KINDS

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The finished data files of one dataset."""

    location: str
    kind: str
    """scenes, pairs or results."""
    store: Store
    files: tuple[str, ...]
    unfinished: int = 0
    """Shards that are still to do."""
    readings: tuple[Columns, ...] = ()
    """Of each file, where another tool wrote them: how its columns are read."""

    def row_count(self) -> int:
        count = 0
        for name in self.files:
            with self._open(name) as parquet:
                count += parquet.metadata.num_rows
        return count

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Those of the columns that there are, of every row. Raises ``UsageError`` for a file that
        cannot be read."""
        for name, reading in self._readings():
            with self._open(name) as parquet:
                present = _present(parquet, columns, reading)
                for group in range(parquet.num_row_groups):
                    every = range(parquet.metadata.row_group(group).num_rows)
                    found = read_group(parquet, group, present).to_pylist() or [{} for _ in every]
                    yield from self._as_ours(found, columns, reading, (name, group), every)

    def rows_at(self, positions: Sequence[int], columns: Sequence[str]) -> Iterator[Row]:
        """As :meth:`rows`, of the rows at these rising positions; other row groups are not read."""
        wanted, first = list(positions), 0
        for name, reading in self._readings():
            with self._open(name) as parquet:
                present = _present(parquet, columns, reading)
                for group in range(parquet.num_row_groups):
                    end = first + parquet.metadata.row_group(group).num_rows
                    here = [position - first for position in wanted if first <= position < end]
                    first = end
                    if here:
                        table = read_group(parquet, group, present)
                        found = table.take(here).to_pylist() if present else [{} for _ in here]
                        yield from self._as_ours(found, columns, reading, (name, group), here)

    def _readings(self) -> Iterator[tuple[str, Columns | None]]:
        readings = self.readings or (None,) * len(self.files)
        return zip(self.files, readings, strict=True)

    def _as_ours(
        self,
        rows: list[Row],
        columns: Sequence[str],
        reading: Columns | None,
        group: tuple[str, int],
        places: Sequence[int],
    ) -> Iterator[Row]:
        """What of a value cannot be understood is left out: a run says so of each."""
        if reading is None:
            yield from rows
            return
        label = self._labels[self.store.describe(group[0])]
        for row, place in zip(rows, places, strict=True):
            found = reading.convert(row, strict=False)
            found["sample_id"] = found.get("sample_id") or made_id(label, group[1], place)
            yield {name: found[name] for name in columns if name in found}

    @functools.cached_property
    def _labels(self) -> dict[str, str]:
        return file_labels(map(self.store.describe, self.files), self.store.root)

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[ParquetFile]:
        try:
            with self.store.open(name) as file, open_parquet(file) as parquet:
                yield parquet
        except (pa.ArrowException, OSError) as error:
            raise UsageError(
                "cannot be read as Parquet",
                where=self.store.describe(name),
                why=f"{error}.",
                next_step="inscene verify says which files of a dataset are damaged.",
            ) from error


def _present(
    parquet: ParquetFile, columns: Sequence[str], reading: Columns | None = None
) -> list[str]:
    names = parquet.schema_arrow.names
    if reading is not None:
        return reading.needed(columns, names)
    return [name for name in columns if name in names]


def open_table(location: str) -> Table:
    """A dataset folder, a folder of Parquet files or one Parquet file, by path or URL.

    A dataset that is unfinished gives the shards that are done. Raises :class:`UsageError` for what
    is none of these.
    """
    if location.endswith(".parquet"):
        return _open_files(location, *_folder_and_name(location))
    store = open_store(location)
    ledger = Ledger(store)
    if ledger.exists():
        return _open_dataset(location, store, ledger)
    if names := parquet_names(store, nested=True):
        return _open_files(location, store, names)
    if image_folder.is_one(store):
        return _open_image_folder(location, store)
    raise _no_dataset(location, store)


def _open_image_folder(location: str, store: Store) -> Table:
    """Images beside a metadata.jsonl."""
    from inscene.dataset.image_table import ImageFolderTable

    return ImageFolderTable.of(location, store)


def _folder_and_name(location: str) -> tuple[Store, list[str]]:
    folder, _, name = location.rpartition("/")
    store = open_store(folder or ("/" if location.startswith("/") else "."))
    names = [name] if store.size(name) is not None else store.list(name)
    if not names:
        raise UsageError("there is no such file", where=location)
    return store, names


def _open_dataset(location: str, store: Store, ledger: Ledger) -> Table:
    kind = str(ledger.fingerprint().get("makes"))
    if kind not in KINDS:
        raise UsageError(
            f"a dataset of the unknown kind {kind!r}",
            where=location,
            next_step="Use the version of inscene that wrote it.",
        )
    shards = list(ledger.records())
    done = tuple(shard.data_file for shard, record in shards if record is not None)
    if not done:
        raise UsageError(
            f"has no finished shard yet, of {len(shards)}",
            where=location,
            next_step="Run the command that makes it again: it resumes.",
        )
    return Table(location, kind, store, done, len(shards) - len(done))


def _open_files(location: str, store: Store, names: list[str]) -> Table:
    """Files without a ledger, as a download has them: their columns tell what they are."""
    untold = Table(location, "", store, tuple(names))
    with untold._open(names[0]) as parquet:
        schema = parquet.schema_arrow
    if is_own(schema) or any(columns <= set(schema.names) for columns in _RESULTS.values()):
        for kind, columns in (_RESULTS | _TELLING).items():
            if columns <= set(schema.names):
                return Table(location, kind, store, tuple(names))
    if not any(is_image_type(field.type) for field in schema):
        raise UsageError(
            "has the columns of no kind of dataset",
            where=store.describe(names[0]),
            why=f"It has {', '.join(schema.names) or 'none'}.",
            next_step="Pairs have lq and hq, scenes have image, results have metric and value.",
        )
    said, readings = SchemaMap.of(store), []
    for name in names:
        with untold._open(name) as parquet:
            readings.append(read_as(parquet, store.describe(name), said))
    kind = "pairs" if all(reading.paired for reading in readings) else "scenes"
    return Table(location, kind, store, tuple(names), readings=tuple(readings))


_RESULTS = {"results": {"metric", "value"}, "restored": {"image", "method"}}
_TELLING = {"pairs": {"lq", "hq"}, "scenes": {"image"}}


def _no_dataset(location: str, store: Store) -> UsageError:
    path = Path(location.removeprefix("file://"))
    local = not is_url(location) or location.startswith("file://")
    if local and not path.exists():
        return UsageError("there is no such file or folder", where=location)
    if local and path.is_file():
        return UsageError("is no dataset", where=location, next_step="Name a dataset folder.")
    if inner := [name.rpartition("/run/")[0] for name in store.list("*/run/recipe.json")]:
        return UsageError(
            f"holds {len(inner)} datasets: {', '.join(inner)}",
            where=location,
            next_step=f"Name one, such as {store.describe(inner[0])}",
        )
    if local and next(images.iter_image_files(path), None) is not None:
        return UsageError(
            "holds images and no dataset",
            where=location,
            next_step="Make one: inscene build gallery, or inscene degrade.",
        )
    return UsageError(
        "holds no dataset",
        where=location,
        why="It has no Parquet file, here or in data/.",
        next_step="Name the folder that a command wrote with --out.",
    )


@dataclass(frozen=True)
class Survey:
    """What the columns of any dataset say."""

    dataset: str
    kind: str
    rows: int
    samples: int
    """Distinct sample ids."""
    unfinished: int
    """Shards that are still to do: their rows are not here."""
    sizes: dict[str, int]
    """``width×height`` in px -> samples; of the clean images of pairs."""
    counts: dict[str, dict[str, int]]
    """Column -> value -> rows; columns without any value are left out."""
    numbers: dict[str, Distribution]
    """Scores, sizes (one a sample) and, of results, ``value.METRIC``."""

    def to_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["numbers"] = {name: values.to_json() for name, values in self.numbers.items()}
        return plain


@dataclass(frozen=True)
class Gathered:
    survey: Survey
    values: dict[str, npt.NDArray[np.float64]]
    """The finite numbers behind ``survey.numbers``."""
    people: dict[str, int]
    """Person -> distinct samples."""
    tagged: bool
    """Whether any row has a tag."""


_COUNTED = ("split", "source", "suite", "method", "metric", "status", "identity",
            "licence", "consent")  # fmt: skip
_MEASURED = ("face_score", "identity_score", "restore_s")
_CAMERA = ("iso", "make", "model")


def survey(table: Table) -> Survey:
    """Read the small columns of every row; no image is touched."""
    return gather(table).survey


def gather(table: Table) -> Gathered:
    """The same, with every number kept: eight bytes each."""
    small = ("sample_id", "width", "height", "scores", "camera", "value", "tags")
    tagged = False
    rows, samples, sizes = 0, set[object](), Counter[str]()
    counts = {name: Counter[str]() for name in _COUNTED + tuple(f"camera.{c}" for c in _CAMERA)}
    people = Counter[str]()
    numbers: dict[str, Gathering] = {}
    for row in table.rows((*small, *_COUNTED, *_MEASURED)):
        rows += 1
        sample = row.get("sample_id", rows)
        measured = _measured(row)
        if sample not in samples:
            if row.get("width") and row.get("height"):
                sizes[f"{row['width']}×{row['height']}"] += 1
                measured |= {name: row[name] for name in ("width", "height")}
            if row.get("identity") is not None:
                people[str(row["identity"])] += 1
        samples.add(sample)
        for name, counter in counts.items():
            value = _inner(row, name)
            if value is not None:
                counter[str(value)] += 1
        for name, value in measured.items():
            if value is not None:
                if name not in numbers:
                    numbers[name] = Gathering()
                numbers[name].add(value)
        tagged = tagged or bool(row.get("tags"))
    found = Survey(
        dataset=table.location,
        kind=table.kind,
        rows=rows,
        samples=len(samples),
        unfinished=table.unfinished,
        sizes=by_count(sizes),
        counts={name: by_count(counter) for name, counter in counts.items() if counter},
        numbers={name: numbers[name].distribution() for name in sorted(numbers)},
    )
    return Gathered(
        found, {name: one.values() for name, one in numbers.items()}, by_count(people), tagged
    )


def _inner(row: Mapping[str, Any], name: str) -> Any:
    """``camera.iso``: a field of a column."""
    column, dot, field = name.partition(".")
    value = row.get(column)
    return value.get(field) if dot and isinstance(value, dict) else value if not dot else None


def _measured(row: Mapping[str, Any]) -> dict[str, Any]:
    measured = {name: row.get(name) for name in _MEASURED}
    scores = row.get("scores")
    if isinstance(scores, dict):
        measured |= {f"scores.{name}": value for name, value in scores.items()}
    if "metric" in row:
        measured[f"value.{row['metric']}"] = row.get("value")
    return measured
