"""What an encoded image says beside its pixels: EXIF, XMP, comments, bytes behind its end.

Read from the file's structure: nothing is decoded, a 2 MB PNG takes about 0.1 ms.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator

from inscene.errors import SampleError
from inscene.images.headers import sniff

# Chunks that describe pixels and nothing else [PNG, third edition].
_PNG_PIXELS = {
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB",
    b"bKGD", b"hIST", b"pHYs", b"sPLT", b"cICP", b"mDCV", b"cLLI", b"acTL", b"fcTL", b"fdAT",
}  # fmt: skip
_PNG_NAMES = {b"eXIf": "EXIF", b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"tIME": "time"}
_WEBP_PIXELS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
_WEBP_NAMES = {b"EXIF": "EXIF", b"XMP ": "XMP"}
_GPS_TAG = 0x8825
# In coded data a zero follows every FF; restart markers are part of it.
_MARKER_IN_CODED = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def metadata_of(data: bytes) -> list[str]:
    """Names of what is there, such as ``EXIF``, ``GPS``, ``XMP``, ``text``; empty for bare pixels.

    Raises :class:`SampleError` for what is no image, and for formats whose structure is not read
    here (TIFF, AVIF and others): nobody can say what they carry.
    """
    name = sniff(data)
    try:
        if name == "PNG":
            found = list(_of_png(data))
        elif name == "JPEG":
            found = list(_of_jpeg(data))
        elif name == "WEBP":
            found = list(_of_webp(data))
        else:
            raise SampleError("format_not_checked", f"{name} may hold what nobody looks for")
    except (struct.error, IndexError) as error:
        raise SampleError("not_an_image", f"a damaged {name}: {error}") from error
    return list(dict.fromkeys(found))


def _of_png(data: bytes) -> Iterator[str]:
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise SampleError("not_an_image", "a PNG that is cut off")
        if kind not in _PNG_PIXELS:
            yield _PNG_NAMES.get(kind, f"chunk {kind.decode('latin-1')}")
            if kind == b"eXIf":
                yield from _gps(data[at + 8 : end - 4])
        at = end
        if kind == b"IEND":
            break
    if at < len(data):
        yield "bytes behind the end"


def _of_jpeg(data: bytes) -> Iterator[str]:
    at, pixels = 2, False
    while True:
        if data[at] != 0xFF:
            raise SampleError("not_an_image", f"no JPEG marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker == 0xD9:
            break
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # these have no body
            at += 2
        else:
            size = struct.unpack_from(">H", data, at + 2)[0]
            yield from _of_segment(marker, data[at + 4 : at + 2 + size])
            at += 2 + size
            if marker == 0xDA:
                coded, pixels = _MARKER_IN_CODED.search(data, at), True
                if coded is None:
                    raise SampleError("not_an_image", "a JPEG that is cut off")
                at = coded.start()
    if not pixels:
        raise SampleError("not_an_image", "a JPEG without pixels")
    if at + 2 < len(data):  # often a second picture, or a film
        yield "bytes behind the end"


def _of_segment(marker: int, body: bytes) -> Iterator[str]:
    if marker == 0xE1 and body.startswith(b"Exif\0"):
        yield "EXIF"
        yield from _gps(body)
    elif marker == 0xE1:
        yield "XMP"
    elif marker == 0xED:
        yield "IPTC"
    elif marker == 0xFE:
        yield "text"
    elif marker == 0xE0 and body.startswith(b"JFXX"):
        yield "thumbnail"
    elif marker == 0xE2 and not body.startswith(b"ICC_PROFILE"):
        yield "APP2"
    elif 0xE3 <= marker <= 0xEC or marker == 0xEF:
        yield f"APP{marker - 0xE0}"


def _of_webp(data: bytes) -> Iterator[str]:
    at, end = 12, 8 + int(struct.unpack_from("<I", data, 4)[0])
    if end > len(data):
        raise SampleError("not_an_image", "a WebP that is cut off")
    while at + 8 <= end:
        kind, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if kind not in _WEBP_PIXELS:
            yield _WEBP_NAMES.get(kind, f"chunk {kind.decode('latin-1')}")
            if kind == b"EXIF":
                yield from _gps(data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    if end + end % 2 < len(data):
        yield "bytes behind the end"


def _gps(exif: bytes) -> Iterator[str]:
    from PIL import Image

    try:
        tags = Image.Exif()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged tags are no place
            tags.load(exif)
        if _GPS_TAG in tags:
            yield "GPS"
    except (SyntaxError, ValueError, struct.error, KeyError, OSError):
        return  # unreadable EXIF is EXIF all the same
