"""The images of rows of a table of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inscene import images
from inscene.degrade.arrays import ByteImage
from inscene.errors import SampleError


class PairImages:
    """Decodes; the clean image of neighbouring versions only once.

    Image cells must hold their bytes: a path in a cell is never opened. Raises
    :class:`SampleError` for a cell that holds no image.
    """

    def __init__(self) -> None:
        self._last: tuple[bytes, ByteImage] | None = None

    def lq(self, row: Mapping[str, Any]) -> ByteImage:
        return images.decode(_bytes_of(row, "lq")).pixels

    def hq(self, row: Mapping[str, Any]) -> ByteImage:
        data = _bytes_of(row, "hq")
        if self._last is None or self._last[0] != data:
            self._last = data, images.decode(data).pixels
        return self._last[1]


def _bytes_of(row: Mapping[str, Any], column: str) -> bytes:
    cell = row.get(column)
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes) or not data:
        raise SampleError("image_bytes_missing", f"the cell {column!r} holds no bytes")
    return data
