"""What a RAW file's directories say: who made the camera, and whether the end is missing.

Most RAW formats are TIFFs, or hold one. LibRaw knows the makers but rawpy does not pass them on.
Nothing else of what the file says of its owner (place, names, serial numbers) is looked at.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

_MAX_DIRECTORIES = 64
_MAX_ENTRIES = 4096
_MAX_NUMBERS = 2**20
_MAX_TEXT = 64
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_LETTERS = {1: "B", 3: "H", 4: "I", 13: "I"}

# TIFF (revision 6.0), DNG (1.7).
_MAKE, _MODEL, _DNG_VERSION, _SUB_DIRECTORIES = 271, 272, 50706, 330
_BLOCKS = ((273, 279), (324, 325))
"""Offsets and sizes of strips, and of tiles."""

# Olympus and Panasonic write numbers of their own after the byte order.
_MAGIC = {b"II*\0": "<", b"MM\0*": ">", b"IIRO": "<", b"IIRS": "<", b"MMOR": ">", b"IIU\0": "<"}
_FUJI = b"FUJIFILMCCD-RAW"
_CANON_3 = b"CMT1"  # box with the first directory, in a file of the MP4 family
_HEAD_BYTES = 2**20


_Directory = dict[int, tuple[int, int, int]]
"""Tag -> type, count, where its values begin."""


def make_and_model(data: bytes) -> tuple[str | None, str | None]:
    """As the camera writes them; None where the format or the file does not tell."""
    tiff = _tiff_in(data)
    with contextlib.suppress(struct.error):
        if first := next(_directories(tiff), None):
            return _text(tiff, first, _MAKE), _text(tiff, first, _MODEL)
    return None, None


def is_cut(data: bytes) -> bool:
    """Whether a DNG lists blocks of pixels beyond its end, or a directory does.

    Of DNGs only: other makers' offsets are not always what the standard says.
    """
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return False
    view = memoryview(data)
    is_dng = None
    try:
        for directory in _directories(view):
            is_dng = is_dng or _DNG_VERSION in directory
            for offsets, sizes in _BLOCKS:
                begins = _numbers(view, directory, offsets)
                lengths = _numbers(view, directory, sizes)
                if is_dng and any(
                    begin + length > len(data)
                    for begin, length in zip(begins, lengths, strict=False)
                ):
                    return True
    except struct.error:  # a directory leads beyond the end, or the first one does
        return is_dng is not False
    return False


def _tiff_in(data: bytes) -> memoryview:
    view = memoryview(data)
    if data.startswith(_FUJI):
        # The header names where the preview is, a JPEG; its EXIF block is a TIFF.
        start = int.from_bytes(data[84:88], "big")
        found = data.find(b"Exif\0\0", start, start + _HEAD_BYTES)
        return view[found + 6 :] if found >= 0 else view[:0]
    if data[4:8] == b"ftyp":
        found = data.find(_CANON_3, 0, _HEAD_BYTES)
        return view[found + 4 :] if found >= 0 else view[:0]
    return view


def _directories(tiff: memoryview) -> Iterator[_Directory]:
    """The chain of directories, and those below each; each once. Raises ``struct.error`` where one
    lies beyond the end."""
    order = _MAGIC.get(bytes(tiff[:4]))
    if order is None:
        return
    waiting = [struct.unpack_from(order + "I", tiff, 4)[0]]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        at = waiting.pop(0)
        if not at or at in seen:
            continue
        seen.add(at)
        count = struct.unpack_from(order + "H", tiff, at)[0]
        if count > _MAX_ENTRIES:
            continue
        directory: _Directory = {}
        for entry in range(count):
            place = at + 2 + 12 * entry
            tag, kind, values = struct.unpack_from(order + "HHI", tiff, place)
            begin = place + 8
            if _SIZES.get(kind, 1) * values > 4:
                begin = struct.unpack_from(order + "I", tiff, begin)[0]
            directory[tag] = (kind, values, begin)
        yield directory
        waiting += _numbers(tiff, directory, _SUB_DIRECTORIES)[:_MAX_DIRECTORIES]
        with contextlib.suppress(struct.error):  # the last one of a file may leave it out
            waiting.append(struct.unpack_from(order + "I", tiff, at + 2 + 12 * count)[0])


def _numbers(tiff: memoryview, directory: _Directory, tag: int) -> tuple[int, ...]:
    kind, count, begin = directory.get(tag, (0, 0, 0))
    if kind not in _LETTERS or count > _MAX_NUMBERS:
        return ()
    return struct.unpack_from(f"{_MAGIC[bytes(tiff[:4])]}{count}{_LETTERS[kind]}", tiff, begin)


def _text(tiff: memoryview, directory: _Directory, tag: int) -> str | None:
    kind, count, begin = directory.get(tag, (0, 0, 0))
    if kind != 2 or begin >= len(tiff):
        return None
    raw = bytes(tiff[begin : begin + min(count, 4 * _MAX_TEXT)]).partition(b"\0")[0]
    text = "".join(c for c in raw.decode("utf-8", "replace") if c.isprintable())
    return " ".join(text.split())[:_MAX_TEXT] or None
