"""What lies where in a tar that nobody vouches for.

Not :mod:`tarfile`: it reads whatever length a header claims into memory, takes a damaged header for
the archive's end, and in versions still in use goes round in circles on negative sizes and needs
minutes for some long headers. Here each header costs one block of memory and linear time, and the
walk only goes forward. Layout: POSIX.1-2017 (``pax``), and the GNU tar manual for its own types.
"""

from __future__ import annotations

import enum
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from inscene.errors import SampleError

BLOCK = 512
MAX_HEADER_BYTES = 64 * 2**10
"""Of a long name or of pax records. [chosen] Linux takes paths of 4 KiB."""

TRUNCATED, CORRUPT, COMPRESSED = "archive_truncated", "archive_corrupt", "archive_compressed"

_HEADER = struct.Struct("100s24x12s12x8sc100x6s82x155s12x")
_CHECKSUM = slice(148, 156)
_ZEROS = bytes(BLOCK)
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*\Z")
_DECIMAL = re.compile(rb"[0-9]{1,18}\Z")
_SHORTEST_RECORD = 5  # "5 a=\n"
_MEANINGFUL = {b"path", b"size"}
_COMPRESSED = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf", "7-Zip"),
)


class Kind(enum.Enum):
    FILE = enum.auto()
    FOLDER = enum.auto()
    LINK = enum.auto()
    SPARSE = enum.auto()
    SPECIAL = enum.auto()
    """A device, a pipe, or of a type that only some programs know."""


_KINDS = {b"0": Kind.FILE, b"\0": Kind.FILE, b"7": Kind.FILE, b"5": Kind.FOLDER}
_KINDS |= {b"1": Kind.LINK, b"2": Kind.LINK, b"S": Kind.SPARSE}
_WITHOUT_DATA = b"123456"  # links, devices, folders, pipes: whatever size they claim


@dataclass(frozen=True, slots=True)
class TarEntry:
    name: str
    """As the archive has it, slashes, dots and all; bytes that are no UTF-8 as escapes."""
    kind: Kind
    start: int
    """Of its bytes in the archive."""
    size: int
    """As claimed: it may reach beyond the archive's end."""


def tar_entries(file: IO[bytes], length: int) -> Iterator[TarEntry]:
    """Those of an archive of ``length`` bytes, in its order. Nothing but headers is read.

    The walk ends after an entry that reaches beyond the archive. Raises :class:`SampleError` with
    one of this module's reasons where the archive is cut, damaged or compressed: what came before
    is sound.
    """
    at = 0
    long_name: str | None = None
    records: dict[bytes, bytes] = {}
    while True:
        block = _read(file, at, BLOCK)
        if len(block) < BLOCK:
            _refuse_if_compressed(block, at)
            raise SampleError(TRUNCATED, f"it ends at byte {length}, without the mark of its end")
        if block == _ZEROS:
            return
        name, size, kind = _parsed(block, at)
        at += BLOCK
        if kind in b"LKxXg":
            if size > MAX_HEADER_BYTES:
                raise SampleError(CORRUPT, f"a header of {size} bytes, at byte {at - BLOCK}")
            data = _read(file, at, size)
            if len(data) < size:
                raise SampleError(TRUNCATED, f"it ends at byte {length}, inside a header")
            if kind == b"L":
                long_name = _decoded(data.split(b"\0", 1)[0])
            elif kind in b"xX":
                records = _pax(data, at)
            elif kind == b"g" and _MEANINGFUL & _pax(data, at).keys():
                raise SampleError(CORRUPT, "a global header renames or resizes all that follows")
            at += _padded(size)
            continue
        if kind == b"S":
            at = _after_sparse_map(file, block, at)
        entry = _entry(long_name or name, size, kind, at, records)
        yield entry
        if entry.start + entry.size > length:
            return
        at += _padded(entry.size)
        long_name, records = None, {}


def _read(file: IO[bytes], at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _parsed(block: bytes, at: int) -> tuple[str, int, bytes]:
    """Name, size and type."""
    name, size, checksum, kind, magic, prefix = _HEADER.unpack(block)
    try:
        if not _sum_agrees(block, _number(checksum)):
            raise ValueError("wrong checksum")
        count = _number(size)
    except ValueError as error:
        _refuse_if_compressed(block, at)
        raise SampleError(CORRUPT, f"no header of a tar at byte {at}: {error}") from error
    path = name.split(b"\0", 1)[0]
    if magic == b"ustar\0" and (folder := prefix.split(b"\0", 1)[0]):
        path = folder + b"/" + path
    return _decoded(path), count, kind


def _number(field: bytes) -> int:
    """Octal digits; or, as GNU has it for large ones, a byte 0x80 and a big-endian integer."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if (found := _OCTAL.match(field)) is None:
        raise ValueError(f"{field!r} is no size")
    return int(found[1] or b"0", 8)


def _sum_agrees(block: bytes, claimed: int) -> bool:
    """Some old writers summed signed bytes."""
    rest = block[: _CHECKSUM.start] + b" " * 8 + block[_CHECKSUM.stop :]
    total = sum(rest)
    return claimed == total or claimed == total - 256 * sum(byte > 127 for byte in rest)


def _refuse_if_compressed(block: bytes, at: int) -> None:
    if at == 0:
        for signature, name in _COMPRESSED:
            if block.startswith(signature):
                raise SampleError(COMPRESSED, f"the content is {name}; unpack it first")


def _pax(data: bytes, at: int) -> dict[bytes, bytes]:
    """Records of "length key=value\\n"."""
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(data):
        digits, _, _ = data[start : start + 20].partition(b" ")
        length = int(digits) if _DECIMAL.match(digits) else 0
        record = data[start + len(digits) + 1 : start + length]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        whole = length >= _SHORTEST_RECORD and start + length <= len(data)
        if not (whole and equals and record.endswith(b"\n")):
            raise SampleError(CORRUPT, f"a damaged pax header at byte {at}")
        records[key] = value
        start += length
    return records


def _entry(name: str, size: int, type_: bytes, start: int, records: dict[bytes, bytes]) -> TarEntry:
    kind = _KINDS.get(type_, Kind.SPECIAL)
    if any(key.startswith(b"GNU.sparse") for key in records):
        kind = Kind.SPARSE
    if b"path" in records:
        name = _decoded(records[b"path"])
    if (claimed := records.get(b"size")) is not None:
        if not _DECIMAL.match(claimed):
            raise SampleError(CORRUPT, f"{name!r} claims the size {claimed!r:.40}")
        size = int(claimed)
    if kind is Kind.FILE and type_ == b"\0" and name.endswith("/"):  # before POSIX
        kind = Kind.FOLDER
    return TarEntry(name, kind, start, 0 if type_ in _WITHOUT_DATA else size)


def _after_sparse_map(file: IO[bytes], block: bytes, at: int) -> int:
    """Where the data of GNU's old sparse type starts: blocks of its map may precede it."""
    more = block[482]
    while more:
        block = _read(file, at, BLOCK)
        if len(block) < BLOCK:
            raise SampleError(TRUNCATED, "it ends inside the map of a sparse file")
        more, at = block[504], at + BLOCK
    return at
