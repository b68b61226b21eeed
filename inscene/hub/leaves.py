"""The strings and lists of numbers inside a table, however deep, each with its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Leaf:
    """The values of one column, or of one field inside a column."""

    path: str
    """Dotted, such as ``camera.make``."""
    values: pa.Array
    rows: pa.Array | None
    """The row of each value; None: the n-th value is of the n-th row."""

    def row_of(self, position: int) -> int:
        return position if self.rows is None else int(self.rows[position].as_py())


def leaves(table: pa.Table) -> Iterator[Leaf]:
    """All of them but binary ones: image bytes are looked at by other means."""
    for name in table.column_names:
        column = table.column(name)
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        yield from _below(name, array, None)


def _below(path: str, array: Any, rows: pa.Array | None) -> Iterator[Leaf]:
    if pa.types.is_struct(array.type):
        fields = [array.type.field(number) for number in range(array.type.num_fields)]
        for field, inner in zip(fields, array.flatten(), strict=True):
            yield from _below(f"{path}.{field.name}", inner, rows)
    elif (
        pa.types.is_list(array.type)
        or pa.types.is_large_list(array.type)
        or pa.types.is_fixed_size_list(array.type)
    ):
        if pa.types.is_floating(array.type.value_type):
            yield Leaf(path, array, rows)
            return
        parents = pc.list_parent_indices(array)
        above = parents if rows is None else rows.take(parents)
        yield from _below(path, pc.list_flatten(array), above)
    elif pa.types.is_dictionary(array.type):
        yield from _below(path, array.dictionary_decode(), rows)
    elif pa.types.is_large_string(array.type):
        yield Leaf(path, array.cast(pa.string()), rows)
    elif not (
        pa.types.is_binary(array.type)
        or pa.types.is_large_binary(array.type)
        or pa.types.is_fixed_size_binary(array.type)
    ):
        yield Leaf(path, array, rows)


def matching(leaf: Leaf, pattern: str) -> list[int]:
    """Positions of the strings that a regular expression (RE2) finds something in.

    Repeated strings, such as a provenance that is the same for every row, are looked at once.
    """
    if not pa.types.is_string(leaf.values.type) or leaf.values.null_count == len(leaf.values):
        return []
    different = pc.unique(leaf.values)
    hits = different.filter(pc.match_substring_regex(different, pattern))
    if not len(hits):
        return []
    found = pc.is_in(leaf.values, value_set=hits, skip_nulls=True)
    return [int(position) for position in pc.indices_nonzero(found).to_pylist()]
