"""What an encoded image says beside its pixels, against what Pillow writes."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from synthetic_photos import synthetic_photo

from inscene import images
from inscene.errors import SampleError
from inscene.hub.image_metadata import metadata_of

PHOTO = synthetic_photo(3, 48, 40)


def encoded(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    PHOTO.save(file, kind, **options)
    return file.getvalue()


def exif(*, gps: bool = False) -> bytes:
    tags = Image.Exif()
    tags[0x010F] = "A camera"
    if gps:
        place = tags.get_ifd(0x8825)
        place[1], place[2] = "N", (48.0, 12.0, 0.5)
    return tags.tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_bare_pixels_say_nothing(kind: str) -> None:
    assert metadata_of(encoded(kind)) == []


def test_what_inscene_writes_says_nothing() -> None:
    import numpy as np

    pixels = np.asarray(PHOTO)
    assert metadata_of(images.encode_png(pixels)) == []
    assert metadata_of(images.thumbnail(pixels, 32)) == []


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 100, "subsampling": 0}])
def test_scans_of_a_jpeg_are_passed_over(options: dict[str, Any]) -> None:
    assert metadata_of(encoded("JPEG", **options)) == []


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exif_and_the_place_in_it(kind: str) -> None:
    assert metadata_of(encoded(kind, exif=exif())) == ["EXIF"]
    assert metadata_of(encoded(kind, exif=exif(gps=True))) == ["EXIF", "GPS"]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_xmp(kind: str) -> None:
    assert metadata_of(encoded(kind, xmp=b"<x:xmpmeta>me</x:xmpmeta>")) == ["XMP"]


def test_texts() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "me")
    info.add_itxt("Comment", "me again", zip=True)
    assert metadata_of(encoded("PNG", pnginfo=info)) == ["text"]
    assert metadata_of(encoded("JPEG", comment=b"me")) == ["text"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_hangs_behind_the_end(kind: str) -> None:
    """A motion photo is a JPEG with a film behind it, and that may be another JPEG."""
    assert metadata_of(encoded(kind) + b"more") == ["bytes behind the end"]
    assert metadata_of(encoded(kind) + encoded("JPEG")) == ["bytes behind the end"]


def test_a_comment_between_the_scans_of_a_jpeg() -> None:
    data = encoded("JPEG", progressive=True)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 5) + b"me me"
    assert metadata_of(data[:second] + comment + data[second:]) == ["text"]


def test_a_chunk_that_nobody_knows() -> None:
    data = encoded("PNG")
    body = b"sEcR" + b"hello"
    chunk = struct.pack(">I", 5) + body + struct.pack(">I", zlib.crc32(body))
    assert metadata_of(data[:33] + chunk + data[33:]) == ["chunk sEcR"]


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "BMP"])
def test_formats_that_are_not_looked_into(kind: str) -> None:
    with pytest.raises(SampleError, match="format_not_checked"):
        metadata_of(encoded(kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_cut_files_are_no_clean_ones(kind: str) -> None:
    data = encoded(kind, exif=exif())
    for end in range(12, len(data) - 1, max(1, len(data) // 60)):
        with pytest.raises(SampleError):
            metadata_of(data[:end])


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=64), kind=st.sampled_from(["PNG", "JPEG", "WEBP"]))
def test_noise_never_crashes_it(data: bytes, kind: str) -> None:
    start = encoded(kind)[: 12 if kind == "WEBP" else 8 if kind == "PNG" else 3]
    with contextlib.suppress(SampleError):
        assert isinstance(metadata_of(start + data), list)
