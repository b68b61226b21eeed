"""Photos of people that are made of the one that scikit-image carries (NASA, public domain)."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational
from skimage import data
from synthetic_photos import synthetic_photo

SHORT_PX, LONG_PX = 400, 640
"""Of a photo here. Default thresholds are of larger ones: see :data:`SMALL`."""
SMALL = ("min_size.short_side_px=300", "square.side_px=384", "detect_faces.look_at_px=384")
"""What makes the recipe fit photos of this size."""
NO_MODELS = ("iqa=null", "people.keep=largest")
CANARY = "CANARY-7f3a"
"""In every text of the metadata of :func:`with_all_metadata`."""


def person(share: float = 1.0, blur_px: float = 0.0) -> np.ndarray:
    """Eileen Collins from the chest up, 260 × 260 px times ``share``; her face is 115 px high."""
    image = np.ascontiguousarray(data.astronaut()[:260, 100:360])
    if share != 1.0:
        image = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(image, (0, 0), blur_px) if blur_px else image


def photo(*people: tuple[int, int, np.ndarray], seed: int = 0, tall: bool = False) -> np.ndarray:
    """A landscape (or portrait) with people whose upper left corners are at x and y."""
    size = (SHORT_PX, LONG_PX) if tall else (LONG_PX, SHORT_PX)
    image = np.array(synthetic_photo(seed, *size))
    noise = np.random.default_rng(seed).integers(-12, 13, image.shape)
    image = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)
    for x, y, one in people:
        image[y : y + one.shape[0], x : x + one.shape[1]] = one
    return image


def save(path: Path, image: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95, **options)
    return path


def with_all_metadata(path: Path, image: np.ndarray) -> Path:
    """A JPEG as a phone and an editor leave it: EXIF with GPS, serial numbers, owner, maker note
    and thumbnail; XMP, IPTC, an ICC profile, a comment, and a picture behind its end."""
    from PIL import ImageCms

    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x013B] = f"{CANARY} make", f"{CANARY} model", CANARY
    exif[0x8298] = f"{CANARY} copyright"
    details = exif.get_ifd(0x8769)
    details[0x927C] = f"{CANARY} maker note".encode()
    details[0xA430], details[0xA431], details[0xA435] = CANARY, f"{CANARY} body", f"{CANARY} lens"
    details[0x9286] = b"ASCII\0\0\0" + CANARY.encode()
    place = exif.get_ifd(0x8825)
    place[1], place[2] = "N", tuple(IFDRational(v, 1) for v in (52, 31, 12))
    place[3], place[4] = "E", tuple(IFDRational(v, 1) for v in (13, 24, 18))
    place[0x1B] = f"{CANARY} gps".encode()
    buffer = io.BytesIO()
    Image.fromarray(image).save(
        buffer,
        "JPEG",
        quality=95,
        exif=_with_thumbnail(exif.tobytes(), image),
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        comment=f"{CANARY} comment",
        xmp=f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{CANARY}</x:xmpmeta>".encode(),
    )
    jpeg = buffer.getvalue()
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(CANARY)) + CANARY.encode()
    segment = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg[:2] + segment + jpeg[2:] + f"{CANARY} behind the end".encode())
    return path


def thumbnail_of(data: bytes) -> bytes | None:
    """The JPEG that the EXIF of an image holds, as other tools find it."""
    image = Image.open(io.BytesIO(data))
    directory = image.getexif().get_ifd(ExifTags.IFD.IFD1)
    if _OFFSET not in directory:
        return None
    start = directory[_OFFSET]  # from the TIFF header on, behind "Exif\0\0"
    return bytes(image.info["exif"][6:][start : start + directory[_LENGTH]])


_COMPRESSION, _OFFSET, _LENGTH = 0x0103, 0x0201, 0x0202


def _with_thumbnail(exif: bytes, image: np.ndarray) -> bytes:
    """EXIF whose second directory (IFD1) is a thumbnail: Pillow reads it and does not write it."""
    small = Image.fromarray(image)
    small.thumbnail((160, 160))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", comment=f"{CANARY} thumbnail")
    jpeg = buffer.getvalue()
    name, tiff = exif[:6], bytearray(exif[6:])
    order = "<" if tiff[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, first)
    tiff += b"\0" * (len(tiff) % 2)
    struct.pack_into(order + "I", tiff, first + 2 + 12 * entries, len(tiff))  # where the next is
    behind = len(tiff) + 2 + 3 * 12 + 4
    tiff += struct.pack(order + "H", 3)
    tiff += struct.pack(order + "HHIHxx", _COMPRESSION, 3, 1, 6)  # 6: JPEG
    tiff += struct.pack(order + "HHII", _OFFSET, 4, 1, behind)
    tiff += struct.pack(order + "HHII", _LENGTH, 4, 1, len(jpeg))
    tiff += struct.pack(order + "I", 0)
    return name + bytes(tiff) + jpeg
