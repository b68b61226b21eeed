"""Facts read straight from a file's bytes: its format, its size, whether its end is missing.

Pillow answers these questions too, but late (after allocating) or all alike ("cannot identify").
Nothing here decodes a pixel.
"""

from __future__ import annotations

import re
import struct
import zlib

from inscene.errors import SampleError
from inscene.images.rules import ImageFault

# Formats read here that a few fixed bytes tell apart.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
)
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
_MAX_SCANS = 100
_PPM_START = re.compile(rb"P[1-6]\s+[#\d]")

# Images that people do put into photo folders, named so that the message can say what they are.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"8BPS", "Photoshop"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"IIRO", "camera raw"),
    (b"IIRS", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"\0\0\x01\0", "icon"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"<svg", "SVG"),
)


def sniff(data: bytes) -> str:
    """Pillow's name of the format, from content alone. Raises NOT_AN_IMAGE, FORMAT_UNSUPPORTED."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _sniff_boxes(data)
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    # Two letters are no proof: text may begin with "BM" or "P1".
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if _PPM_START.match(data):
        return "PPM"
    for signature, name in _FOREIGN:
        if data.startswith(signature):
            raise ImageFault.FORMAT_UNSUPPORTED.error(f"the content is {name}")
    raise _not_an_image(data)


def _not_an_image(data: bytes) -> SampleError:
    return ImageFault.NOT_AN_IMAGE.error(f"the content begins with {data[:16]!r}")


def _sniff_boxes(data: bytes) -> str:
    """Tells AVIF from the other ISO base media files by the brands of its first box."""
    end = min(struct.unpack(">I", data[:4])[0], 256)
    brands = {data[at : at + 4] for at in (8, *range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & {b"heic", b"heix", b"heim", b"hevc", b"mif1", b"msf1"}:
        raise ImageFault.FORMAT_UNSUPPORTED.error("the content is HEIC: convert it to JPEG or PNG")
    if b"crx " in brands:
        raise ImageFault.FORMAT_UNSUPPORTED.error("the content is camera raw")
    raise _not_an_image(data)


def webp_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels; None where the header is too odd to tell.

    Pillow allocates two canvases before it lets one ask. Layout: RFC 9649.
    """
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    return None


def check_png(data: bytes) -> None:
    """Walks the chunks. Raises TRUNCATED without an end chunk, CORRUPT on a wrong checksum.

    Pillow accepts a file without its end, and skips the checksums of the pixel data, so that a
    flipped bit there can pass as a picture. Runs at about 1 GB/s.
    """
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        checksum = int.from_bytes(view[end - 4 : end], "big")
        critical = not kind[0] & 0x20
        if critical and zlib.crc32(view[at + 4 : end - 4]) != checksum:
            raise ImageFault.CORRUPT.error(f"wrong checksum in the {kind!r} chunk at byte {at}")
        if kind == b"IEND":
            return
        at = end
    raise ImageFault.TRUNCATED.error(f"the {len(data)} bytes end before the PNG end chunk")


def check_jpeg(data: bytes) -> None:
    """Raises CORRUPT on an absurd number of scans.

    Every scan of a progressive file passes over the whole picture, so a small file of thousands
    could keep a worker busy for hours.
    """
    start = _first_scan(data)
    end = data.find(b"\xff\xd9", start)
    scans = data.count(b"\xff\xda", start, end if end >= 0 else len(data)) if start >= 0 else 0
    if scans > _MAX_SCANS:
        raise ImageFault.CORRUPT.error(f"{scans} scans; encoders write at most a few dozen")


def _first_scan(data: bytes) -> int:
    """Where the first scan of a JPEG starts: -1 on nonsense before it, the length if beyond it.

    From there on, FF D9 can only be the end marker and FF DA only a further scan: in coded data a
    zero follows every FF. Before, a thumbnail may contain both.
    """
    at = 2
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF:
            return -1
        if marker == 0xDA:
            return at
        at += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", data, at + 2)[0]
    return len(data)


def is_cut(data: bytes, image_format: str) -> bool:
    """Whether a file *that failed to decode* lacks its end, rather than being wrong inside.

    A guess from structure: a damaged length field looks like a missing end.
    """
    try:
        return _CUT_TESTS.get(image_format, lambda _: False)(data)
    except (struct.error, IndexError, KeyError):  # the header itself is incomplete or nonsense
        return len(data) < 64


def _jpeg_is_cut(data: bytes) -> bool:
    scan = _first_scan(data)
    return scan == len(data) or (scan >= 0 and data.find(b"\xff\xd9", scan) < 0)


def _webp_is_cut(data: bytes) -> bool:
    return 8 + int.from_bytes(data[4:8], "little") > len(data)


def _gif_is_cut(data: bytes) -> bool:
    return not data.rstrip(b"\0").endswith(b";")


def _bmp_is_cut(data: bytes) -> bool:
    return int.from_bytes(data[2:6], "little") > len(data)


def _avif_is_cut(data: bytes) -> bool:
    at = 0
    while at + 8 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        if size == 0:  # reaches to the end of the file, wherever that is
            return False
        at += struct.unpack_from(">Q", data, at + 8)[0] if size == 1 else max(size, 8)
    return at != len(data)


_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TIFF_SIZES |= {16: 8, 17: 8, 18: 8}  # BigTIFF


def _tiff_is_cut(data: bytes) -> bool:
    """Whether the first directory, or anything it points to, lies beyond the end."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    pointer, counter, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
    directory = struct.unpack_from(order + pointer, data, 8 if big else 4)[0]
    if directory + struct.calcsize("=" + counter) > len(data):
        return True
    entries = struct.unpack_from(order + counter, data, directory)[0]
    at = directory + struct.calcsize("=" + counter)
    step = 4 + 2 * inline
    if at + entries * step > len(data):
        return True
    blocks: dict[int, tuple[int, ...]] = {}
    for _ in range(entries):
        tag, kind, count = struct.unpack_from(order + "HH" + pointer, data, at)
        size = _TIFF_SIZES.get(kind, 1) * count
        where = at + 4 + inline
        if size > inline:
            where = struct.unpack_from(order + pointer, data, where)[0]
        if where + size > len(data):
            return True
        if tag in (273, 279, 324, 325) and kind in (3, 4, 16):  # strip or tile offsets and sizes
            letter = {3: "H", 4: "I", 16: "Q"}[kind]
            blocks[tag] = struct.unpack_from(f"{order}{count}{letter}", data, where)
        at += step
    return any(
        offset + size > len(data)
        for offsets, sizes in ((273, 279), (324, 325))
        for offset, size in zip(blocks.get(offsets, ()), blocks.get(sizes, ()), strict=False)
    )


_CUT_TESTS = {
    "JPEG": _jpeg_is_cut,
    "WEBP": _webp_is_cut,
    "TIFF": _tiff_is_cut,
    "GIF": _gif_is_cut,
    "BMP": _bmp_is_cut,
    "AVIF": _avif_is_cut,
}
