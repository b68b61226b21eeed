"""Tables of other people: which of their columns is which of ours.

Columns are known by the names that they commonly have (:data:`ALIASES`); nothing is guessed from
pictures. Where two could be meant, reading stops and says so: a ``schema_map.yaml`` decides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from inscene.dataset.face_values import (
    COUNTS,
    BoxEvidence,
    BoxForm,
    box_numbers,
    corners_of,
    numbers_of,
    points_of,
)
from inscene.dataset.schema_map import ALIASES, CLEAN, LQ, MAP_FILE, SchemaMap, how_to_say
from inscene.errors import SampleError, UsageError
from inscene.schema import PAIRS, SCENES

OUR_NAMES = {column.name for column in (*SCENES.columns, *PAIRS.columns)}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Columns:
    """How the rows of one table are read."""

    theirs: tuple[tuple[str, str], ...]
    """Our name -> theirs, for all that is read under another name or form."""
    box: BoxForm | None = None
    unread: tuple[tuple[str, str], ...] = ()
    """Theirs -> why it is not read."""
    own: bool = False
    """Written by this tool: read as it is."""

    def find(self, ours: str) -> str | None:
        return dict(self.theirs).get(ours)

    def facts(self) -> Any:
        """All that decides what is read, as JSON values."""
        return [self.theirs, self.box, self.unread]

    @property
    def paired(self) -> bool:
        return self.find("lq") is not None

    def needed(self, ours: Sequence[str], present: Sequence[str]) -> list[str]:
        """Their columns from which these of ours are made."""
        wanted = [name for name in ours if name in present]
        for name, source in self.theirs:
            same = name in ours or (name == "landmarks" and set(COUNTS.values()) & set(ours))
            if same and source.partition(".")[0] not in wanted:
                wanted.append(source.partition(".")[0])
        return wanted

    def convert(self, row: Row, *, strict: bool = True) -> dict[str, Any]:
        """The row with our columns beside its own. A null stays one. Raises :class:`SampleError`
        for a value that cannot be understood, or leaves that out where not ``strict``."""
        if self.own:
            return dict(row)
        left_out = {theirs for theirs, _ in self.unread} & OUR_NAMES  # it would pass for ours
        result = {name: value for name, value in row.items() if name not in left_out}
        for ours, theirs in self.theirs:
            if theirs.partition(".")[0] not in row:
                continue
            value = _get(row, theirs)
            try:
                result.update(_CONVERT[ours](self, value))
            except (ValueError, TypeError) as error:
                if not strict:
                    result.pop(ours, None)
                    continue
                raise SampleError("column_unusable", f"{theirs} as {ours}: {error}") from error
        return result


def _image(ours: str) -> Any:
    def convert(_: Columns, cell: Any) -> dict[str, Any]:
        if isinstance(cell, Mapping):
            return {ours: {"bytes": cell.get("bytes"), "path": _base_name(cell.get("path"))}}
        return {ours: {"bytes": cell, "path": None}}

    return convert


def _base_name(path: Any) -> str | None:
    """It is a name to show, and never opened."""
    return PurePosixPath(path.replace("\\", "/")).name or None if isinstance(path, str) else None


def _text(ours: str) -> Any:
    def convert(_: Columns, value: Any) -> dict[str, Any]:
        if isinstance(value, Mapping | list):
            raise ValueError("is no text")
        return {ours: None if value is None else str(value)}

    return convert


def _box(columns: Columns, value: Any) -> dict[str, Any]:
    return {"face_bbox": corners_of(value, columns.box) if _there(value) else None}


def _points(_: Columns, value: Any) -> dict[str, Any]:
    if not _there(value):
        return {}
    points = points_of(value)
    if len(points) not in COUNTS:
        raise ValueError(f"{len(points)} points, not 5 or 68")
    return {COUNTS[len(points)]: numbers_of(points)}


def _counted(ours: str) -> Any:
    def convert(columns: Columns, value: Any) -> dict[str, Any]:
        found = _points(columns, value)
        if found and ours not in found:
            raise ValueError(f"has the points of {next(iter(found))}")
        return found or {ours: None}

    return convert


def _there(value: Any) -> bool:
    """Nulls, empty lists and empty texts say that there is no face."""
    return value is not None and (not hasattr(value, "__len__") or len(value) > 0)


_CONVERT: dict[str, Any] = {
    "image": _image("image"),
    "hq": _image("hq"),
    "lq": _image("lq"),
    "prompt": _text("prompt"),
    "identity": _text("identity"),
    "face_bbox": _box,
    "landmarks": _points,
    "landmarks5": _counted("landmarks5"),
    "landmarks68": _counted("landmarks68"),
}


def is_image_type(kind: pa.DataType) -> bool:
    """Cells that can hold the bytes of an image; a text that names a file is none."""
    kind = storage(kind)
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_binary(field.type) for field in kind)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def storage(kind: pa.DataType) -> pa.DataType:
    """Behind an extension type, such as the arrays of ``datasets``."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def is_own(schema: pa.Schema) -> bool:
    """Whether this tool wrote it: then the names mean what ours mean."""
    names = set(schema.names)
    return {"sample_id", "split", "provenance"} <= names


PEEK_ROWS = 256
"""So many rows are looked at to find out what a column holds."""


@dataclass(frozen=True)
class Table:
    """What has to be known of a table to read it."""

    where: str
    names: tuple[str, ...]
    """Of its columns; ``a.b`` for the fields of structures."""
    images: frozenset[str]
    rows: tuple[Row, ...]
    """Some of them, without the images."""

    @classmethod
    def of_schema(cls, where: str, schema: pa.Schema, peek: Iterator[Row]) -> Table:
        images = frozenset(field.name for field in schema if is_image_type(field.type))
        names = list(_names(schema))
        rows: list[Row] = []
        for row in peek:
            rows.append(row)
            if len(rows) >= PEEK_ROWS:
                break
        return cls(where, tuple(names), images, tuple(rows))


def peeked(schema: pa.Schema, said: SchemaMap) -> list[str]:
    """Columns whose values decide how they are read."""
    wanted = {name for names in ALIASES.values() for name in names} | {"width", "height"}
    wanted |= {name.partition(".")[0] for name in said.columns.values()}
    return [
        field.name
        for field in schema
        if not is_image_type(field.type)
        and (field.name in wanted or pa.types.is_struct(storage(field.type)))
    ]


def _names(schema: pa.Schema) -> Iterator[str]:
    for field in schema:
        yield field.name
        kind = storage(field.type)
        if pa.types.is_struct(kind) and not is_image_type(kind):
            yield from (f"{field.name}.{inner.name}" for inner in kind)


def map_columns(table: Table, said: SchemaMap) -> Columns:
    """Raises :class:`UsageError` where several columns could be meant, naming them."""
    for named in (*said.columns.values(), *said.ignore):
        if named not in table.names:
            raise UsageError(
                f"has no column {named!r}, of which {MAP_FILE} speaks",
                where=table.where,
                next_step=f"It has: {', '.join(table.names)}.",
            )
    names = [name for name in table.names if name.partition(".")[0] not in said.ignore]
    theirs = _images(table, names, said)
    unread = {name: f"{MAP_FILE} says so" for name in said.ignore}
    for ours, aliases in ALIASES.items():
        found, others = _chosen(table, names, ours, aliases, said)
        why = None if found is None else _unfit(table, ours, found)
        if found is not None and why is None:
            theirs[ours] = found
        elif found is not None and why is not None:
            unread[found] = why
        unread |= {name: f"{found} is read" for name in others}
    unread |= _counted_twice(table, theirs)
    if theirs.get("identity") != "id" and "id" in names and _names_rows(table):
        unread["id"] = "differs in every row: it names rows, not people"
    box = said.box or _box_form(table, theirs)
    if "face_bbox" in theirs and box is None and _has_plain_boxes(table, theirs["face_bbox"]):
        raise UsageError(
            f"the boxes in {theirs['face_bbox']!r} may be two corners, or a corner and a size",
            where=table.where,
            why="No landmarks or image sizes tell which.",
            next_step=how_to_say("box: xyxy   (or xywh)"),
        )
    known = {*theirs.values(), *unread, *OUR_NAMES}
    parents = {name.partition(".")[0] for name in theirs.values()}
    for name in names:
        parent = name.partition(".")[0]
        if name in known or parent in known or (name == parent and name in parents):
            continue
        if parent == name and any(other.startswith(f"{name}.") for other in table.names):
            continue  # its fields are told one by one
        unread[name] = "no column of ours"
    return Columns(tuple(theirs.items()), box, tuple(sorted(unread.items())))


def _counted_twice(table: Table, theirs: dict[str, str]) -> dict[str, str]:
    """Takes ``landmarks`` out of ``theirs`` where another column holds as many points; why."""
    general = theirs.get("landmarks")
    counts = set()
    for row in table.rows:
        if general is not None and _there(value := _get(row, general)):
            with contextlib.suppress(ValueError):
                counts.add(len(points_of(value)))
    for ours in (COUNTS[count] for count in sorted(counts & COUNTS.keys())):
        named = theirs.get(ours)
        if general is None or named is None:
            continue
        if named != ours:  # our own name is no alias
            raise UsageError(
                f"has several columns that may be {ours!r}: {general}, {named}",
                where=table.where,
                next_step=how_to_say(f"ignore: [{general}]"),
            )
        del theirs["landmarks"]
        return {general: f"{named} is read"}
    return {}


def _images(table: Table, names: Sequence[str], said: SchemaMap) -> dict[str, str]:
    images = [name for name in names if name in table.images]
    for ours in ("image", "lq"):
        if ours in said.columns and said.columns[ours] not in images:
            raise UsageError(
                f"{said.columns[ours]!r}, which {MAP_FILE} calls {ours}, holds no images",
                where=table.where,
                why="Images must be in the cells, as bytes; paths in cells are never opened.",
                next_step=f"Columns of images: {', '.join(images) or 'none'}.",
            )
    lq = said.columns.get("lq") or _only(table, "lq", [n for n in LQ if n in images], images)
    clean = said.columns.get("image")
    if clean is None:
        rest = [name for name in images if name != lq]
        clean = _only(table, "image", [name for name in CLEAN if name in rest], images)
        if clean is None and len(rest) == 1:
            clean = rest[0]
        elif clean is None and len(rest) > 1:
            raise _several(table, "image", rest)
    if clean is None:
        if lq is None:
            raise UsageError(
                "has no image column",
                where=table.where,
                why="Images must be in the cells, as bytes; paths in cells are never opened."
                if not images
                else None,
                next_step=f"It has: {', '.join(table.names)}.",
            )
        return {"image": lq}  # photographs that are degraded themselves
    return {"image": clean} if lq is None else {"image": clean, "hq": clean, "lq": lq}


def _only(table: Table, ours: str, found: Sequence[str], images: Sequence[str]) -> str | None:
    if len(found) > 1:
        raise _several(table, ours, found)
    return found[0] if found else None


def _several(table: Table, ours: str, found: Sequence[str]) -> UsageError:
    return UsageError(
        f"has several image columns: {', '.join(found)}",
        where=table.where,
        why=f"Any may be {'the LQ image' if ours == 'lq' else 'the clean image'}.",
        next_step=how_to_say(f"columns: {{{ours}: {found[0]}}}"),
    )


def _chosen(
    table: Table, names: Sequence[str], ours: str, aliases: Sequence[str], said: SchemaMap
) -> tuple[str | None, list[str]]:
    """The column that is meant, and others that could have been."""
    if ours in said.columns:
        named = said.columns[ours]
        return named, [name for name in aliases if name in names and name != named]
    # Fields of structures count where no column is named so.
    found = [name for name in aliases if name in names and name not in table.images]
    inner = [
        name
        for alias in aliases
        for name in names
        if "." in name and name.rpartition(".")[2] == alias
    ]
    found = found or inner
    if ours == "identity" and "id" in found and len(found) > 1 and _names_rows(table):
        found.remove("id")
    if ours in found:  # our own name is no alias
        return ours, [name for name in found if name != ours]
    if ours == "identity" and "id" in found and len(found) == 1 and _names_rows(table):
        return None, []
    if len(found) > 1:
        raise UsageError(
            f"has several columns that may be {ours!r}: {', '.join(found)}",
            where=table.where,
            next_step=how_to_say(f"columns: {{{ours}: {found[0]}}}"),
        )
    return (found[0], []) if found else (None, [])


def _names_rows(table: Table) -> bool:
    """Whether ``id`` differs in every row: then it names rows, and no people."""
    values = [row.get("id") for row in table.rows]
    return len(values) > 1 and len(set(map(str, values))) == len(values)


def _unfit(table: Table, ours: str, theirs: str) -> str | None:
    """Why a column is not what its name says, as a whole; single bad values are samples' errors."""
    values = [value for value in (_get(row, theirs) for row in table.rows) if _there(value)]
    if ours in ("prompt", "identity"):
        return "holds no text" if any(isinstance(v, Mapping | list) for v in values) else None
    if not values:
        return None
    if ours == "face_bbox":
        return _unfit_boxes(values)
    counts, largest = set(), 0.0
    for value in values:
        try:
            points = points_of(value)
        except ValueError as error:
            return f"cannot be read as points: {error}"
        counts.add(len(points))
        largest = max(largest, *(abs(number) for point in points for number in point))
    if not counts & COUNTS.keys():
        return f"has {', '.join(map(str, sorted(counts)))} points, not 5 or 68"
    return _SHARES if largest <= _SHARE_AT_MOST else None


def _unfit_boxes(values: Sequence[Any]) -> str | None:
    boxes = []
    for value in values:
        with contextlib.suppress(ValueError):
            boxes.append(box_numbers(value)[0])
    if not boxes:
        return "cannot be read as boxes"
    return (
        _SHARES if max(abs(number) for box in boxes for number in box) <= _SHARE_AT_MOST else None
    )


_SHARES = "lies between 0 and 1: it is not in px"
_SHARE_AT_MOST = 2
"""Shares of an image leave it a little at times."""


def _box_form(table: Table, theirs: Mapping[str, str]) -> BoxForm | None:
    if "face_bbox" not in theirs:
        return None
    evidence = BoxEvidence()
    points = [theirs[name] for name in ("landmarks", *COUNTS.values()) if name in theirs]
    for row in table.rows:
        found = next((value for name in points if _there(value := _get(row, name))), None)
        box = _get(row, theirs["face_bbox"])
        if _there(box):
            evidence.add(box, found, row.get("width"), row.get("height"))
    decided = evidence.decision()
    if decided is None and theirs["face_bbox"] == "face_bbox":
        return "xyxy"  # our own name, and nothing speaks against our own meaning
    return decided


def _has_plain_boxes(table: Table, name: str) -> bool:
    evidence = BoxEvidence()
    for row in table.rows:
        if _there(value := _get(row, name)):
            evidence.add(value, None)
    return evidence.rows > 0


def _get(row: Row, name: str) -> Any:
    parent, dot, inner = name.partition(".")
    value = row.get(parent)
    if not dot:
        return value
    return value.get(inner) if isinstance(value, Mapping) else None
