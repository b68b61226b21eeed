"""Looks for what must not be published, in every cell of a dataset: see :mod:`inscene.hub.rules`.

One row group is in memory at a time, and of each kind of finding the first row and a count. Small
files that are sent beside the table are looked at with :func:`check_texts`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from inscene.dataset.inspect import Table, open_table
from inscene.dataset.parquet import open_parquet, read_batches
from inscene.dataset.store import Store
from inscene.errors import SampleError
from inscene.hub import patterns
from inscene.hub.image_metadata import metadata_of
from inscene.hub.leaves import Leaf, leaves, matching
from inscene.hub.rules import RULES, Allowed, Refusal
from inscene.images.headers import sniff
from inscene.schema import IMAGE, KINDS

__all__ = [
    "Allowed",
    "Refusal",
    "check_file",
    "check_table",
    "check_texts",
    "findings",
    "own_secrets",
]

BATCH_ROWS = 16
READ_AHEAD_BYTES = 2**20
_TOKEN = "what looks like an access token"
_VECTOR_VALUES = 64
"""A list of so many numbers that has the length 1 is no measurement."""
_BASE64_IMAGE = r"^(?:data:image/|/9j/4[A-Za-z0-9+/]{40}|iVBORw0KGgo[A-Za-z0-9+/]{40})"
_CELEBREF_FILE = re.compile(r"^\d{5}/(?:0|[1-9]\d?)\.png$")
_CELEBREF_SIDE_PX = 512
_TERMS = ("licence", "consent")
_ORIGIN = ("source", "sample_id")


def check_table(dataset_store: Store, allow: Allowed) -> list[Refusal]:
    """What stops the publish of a dataset; empty where nothing does."""
    return [one for one in findings(dataset_store) if one.rule not in allow]


def findings(dataset_store: Store) -> list[Refusal]:
    """Everything found, what flags let through included: the card tells that."""
    return _look_at(open_table(dataset_store.root))


def check_file(path: Path, allow: Allowed) -> list[Refusal]:
    """As :func:`check_table`, of one Parquet file."""
    return [one for one in _look_at(open_table(str(path))) if one.rule not in allow]


def _look_at(table: Table) -> list[Refusal]:
    found = _Findings()
    secret = _secret_pattern()
    first = 0
    for name in table.files:
        with (
            table.store.open(name) as file,
            open_parquet(file, buffer_bytes=READ_AHEAD_BYTES) as parquet,
        ):
            for group in range(parquet.num_row_groups):
                for batch in read_batches(parquet, group, BATCH_ROWS):
                    _Batch(batch, table.kind, first, secret, found).look()
                    first += batch.num_rows
    return found.sorted()


def check_texts(texts: Mapping[str, bytes]) -> list[Refusal]:
    """Files that are sent beside the table: no token and no path of this machine may be in them,
    and no flag lets them through, since they are made here."""
    found, secret = _Findings(), re.compile(_secret_pattern())
    for name, content in texts.items():
        text = content.decode("utf-8", "replace")
        if secret.search(text):
            found.add("secrets", name, "text", _TOKEN)
        if patterns.has_local_path(text):
            found.add("local-paths", name, "text", "an absolute path")
    return found.sorted()


def own_secrets() -> list[str]:
    """The token of this machine's login: found whatever it looks like, and never shown."""
    from huggingface_hub import get_token

    token = get_token()
    return [token] if token and len(token) >= 8 else []


def _secret_pattern() -> str:
    return "|".join([patterns.SECRET, *(re.escape(one) for one in own_secrets())])


@dataclass
class _Findings:
    """By rule, column and reason: the first row, and how many."""

    def __post_init__(self) -> None:
        self._found: dict[tuple[str, str, str], Refusal] = {}

    def add(self, rule: str, sample_id: str, column: str, why: str, rows: int = 1) -> None:
        key = rule, column, why
        if (known := self._found.get(key)) is not None:
            self._found[key] = replace(known, rows=known.rows + rows)
        else:
            self._found[key] = Refusal(rule, sample_id, column, why, RULES[rule].remedy, rows)

    def sorted(self) -> list[Refusal]:
        order = list(RULES)
        return sorted(self._found.values(), key=lambda one: order.index(one.rule))


@dataclass
class _Batch:
    table: pa.Table
    kind: str
    first: int
    """Position of its first row in the dataset."""
    secret: str
    found: _Findings

    def look(self) -> None:
        generated = self._generated()
        self._terms()
        for leaf in leaves(self.table):
            self._text(leaf, generated)
            self._numbers(leaf)
        self._origin(generated)
        for name in self.table.column_names:
            self._binary(name, generated)

    # -- rows ---------------------------------------------------------------------------------

    def _id(self, row: int) -> str:
        if "sample_id" in self.table.column_names:
            value = self.table.column("sample_id")[row].as_py()
            if value:
                return patterns.masked(str(value))
        return f"row {self.first + row}"

    def _add(self, rule: str, rows: Iterator[int] | list[int], column: str, why: str) -> None:
        different = sorted(set(rows))
        if different:
            self.found.add(rule, self._id(different[0]), column, why, len(different))

    def _generated(self) -> list[bool]:
        """Which rows a model made: what their names say is where they come from, not what they
        show."""
        if "generator" not in self.table.column_names:
            return [False] * self.table.num_rows
        return [bool(value) for value in self.table.column("generator").to_pylist()]

    # -- what the rules look for --------------------------------------------------------------

    def _terms(self) -> None:
        columns = KINDS[self.kind].schema.names if self.kind in KINDS else []
        for name in _TERMS:
            if name not in columns and name not in self.table.column_names:
                continue  # scores and restored images have none of their own
            values = (
                self.table.column(name).to_pylist()
                if name in self.table.column_names
                else [None] * self.table.num_rows
            )
            unknown = [row for row, value in enumerate(values) if _is_unknown(value)]
            self._add(f"unknown-{name}", unknown, name, "is unknown")

    def _text(self, leaf: Leaf, generated: list[bool]) -> None:
        for rule, pattern, why in (
            ("secrets", self.secret, _TOKEN),
            ("local-paths", patterns.LOCAL_PATH, "an absolute path"),
            ("face-embeddings", patterns.EMBEDDING_KEY, "a vector in JSON"),
            ("reference-images", _BASE64_IMAGE, "an image written as text"),
        ):
            self._add(rule, [leaf.row_of(at) for at in matching(leaf, pattern)], leaf.path, why)
        if leaf.path not in _TERMS:
            hits = {leaf.row_of(at) for at in matching(leaf, patterns.CELEBREF)}
            real = [row for row in hits if not generated[row]]
            self._add("celebref-hq", real, leaf.path, "names CelebRef-HQ, and no model made it")

    def _numbers(self, leaf: Leaf) -> None:
        kind = leaf.values.type
        present = [leaf.row_of(int(at)) for at in pc.indices_nonzero(leaf.values.is_valid())]
        numeric = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        if re.search(patterns.PLACE_NAME, leaf.path) and not pa.types.is_boolean(kind):
            self._add("location", present, leaf.path, "coordinates")
        if not _is_list(kind):
            inside_list = leaf.rows is not None
            if numeric and inside_list and re.search(patterns.EMBEDDING_NAME, leaf.path):
                self._add("face-embeddings", present, leaf.path, "a vector of a face, by its name")
            return
        if re.search(patterns.EMBEDDING_NAME, leaf.path):
            self._add("face-embeddings", present, leaf.path, "a vector of a face, by its name")
            return
        lengths = pc.fill_null(pc.list_value_length(leaf.values), 0).to_pylist()
        vectors = [
            leaf.row_of(at)
            for at, length in enumerate(lengths)
            if length >= _VECTOR_VALUES and _has_length_one(leaf.values[at])
        ]
        self._add("face-embeddings", vectors, leaf.path, "vectors of length 1")

    def _origin(self, generated: list[bool]) -> None:
        """Photographs that are somebody's references, by the names of their folders."""
        names = [name for name in _ORIGIN if name in self.table.column_names]
        size = [name for name in ("width", "height") if name in self.table.column_names]
        rows = self.table.select([*names, *size]).to_pylist()
        for row, cells in enumerate(rows):
            if generated[row]:
                continue
            for name in names:
                if _below_references(name, str(cells[name] or "")):
                    self._add("reference-images", [row], name, "is named as references are")
            square = [cells.get(one) for one in size] == [_CELEBREF_SIDE_PX] * 2
            if square and _CELEBREF_FILE.match(str(cells.get("sample_id"))):
                why = "is named, and as large, as a photo of CelebRef-HQ"
                self._add("celebref-hq", [row], "sample_id", why)

    def _binary(self, name: str, generated: list[bool]) -> None:
        column = self.table.column(name)
        if column.type == IMAGE:
            bytes_ = pc.struct_field(column, "bytes")
            own = self.kind not in KINDS or name in KINDS[self.kind].image_columns
            reference = not own and patterns.is_reference_name(name)
            hashes = self._reference_hashes(generated)
            for row, cell in enumerate(bytes_):
                if cell.is_valid:
                    self._image(name, row, cell.as_buffer(), reference, hashes[row])
            return
        for path, rows, values in _binaries(name, column.combine_chunks(), None):
            for at, cell in enumerate(values):
                if cell.is_valid:
                    row = at if rows is None else int(rows[at].as_py())
                    self._bytes(path, row, bytes(cell.as_buffer()))

    def _reference_hashes(self, generated: list[bool]) -> list[str | None]:
        """Of generated rows the hash of the file that was read, which is their reference."""
        if "sha256" not in self.table.column_names:
            return [None] * len(generated)
        hashes = self.table.column("sha256").to_pylist()
        return [value if made else None for value, made in zip(hashes, generated, strict=True)]

    def _image(
        self, name: str, row: int, data: pa.Buffer, reference: bool, of_reference: str | None
    ) -> None:
        if reference:
            self._add("reference-images", [row], name, "a column of references")
        if of_reference and hashlib.sha256(data).hexdigest() == of_reference:
            self._add("reference-images", [row], name, "is the reference itself")
        try:
            said = metadata_of(bytes(data))
        except SampleError as error:
            self._add("image-metadata", [row], f"{name}.bytes", _short(error))
            return
        if "GPS" in said:
            self._add("location", [row], f"{name}.bytes", "GPS in EXIF")
        if said:
            self._add("image-metadata", [row], f"{name}.bytes", f"has {', '.join(said)}")

    def _bytes(self, path: str, row: int, data: bytes) -> None:
        """Binary cells that no table of inscene has."""
        if re.search(patterns.EMBEDDING_NAME, path):
            self._add("face-embeddings", [row], path, "a vector of a face, by its name")
        else:
            try:
                sniff(data)
                self._add("reference-images", [row], path, "an image in a column for none")
            except SampleError:
                self._add("image-metadata", [row], path, "bytes that nobody can look into")
        if re.search(self.secret.encode(), data):
            self._add("secrets", [row], path, _TOKEN)


def _below_references(column: str, name: str) -> bool:
    """Whether one of the folders is for references. A file may be called so and be none."""
    folders = name.split("/") if column == "source" else name.split("/")[:-1]
    return any(patterns.is_reference_name(folder) for folder in folders)


def _is_unknown(value: object) -> bool:
    return str(value or "").strip().lower() in ("", "unknown", "none", "null", "n/a", "?")


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _has_length_one(cell: Any) -> bool:
    values = [float(value) for value in cell.as_py() if value is not None]
    return abs(sum(value * value for value in values) - 1) < 1e-3


def _short(error: SampleError) -> str:
    return error.detail.partition(":")[0] or error.reason


def _binaries(
    path: str, array: Any, rows: pa.Array | None
) -> Iterator[tuple[str, pa.Array | None, pa.Array]]:
    """The binary values below a column, with their rows."""
    kind = array.type
    if pa.types.is_struct(kind):
        for number, inner in enumerate(array.flatten()):
            yield from _binaries(f"{path}.{kind.field(number).name}", inner, rows)
    elif _is_list(kind):
        parents = pc.list_parent_indices(array)
        above = parents if rows is None else rows.take(parents)
        yield from _binaries(path, pc.list_flatten(array), above)
    elif (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    ):
        yield path, rows, array
