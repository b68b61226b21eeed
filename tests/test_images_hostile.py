"""Files that are cut, damaged, hostile or no images at all: one reasoned refusal, nothing else."""

import functools
import io
import json
import struct
import subprocess
import sys
import threading
import warnings
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, features

from inscene.errors import SampleError
from inscene.images import ImageFault, Limits, decode


def save(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


@functools.cache
def corpus():
    """Small files of every kind that is read, with the metadata that parsers trip over."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 52, 3)).astype(np.uint8)
    photo = cv2.GaussianBlur(noise, (0, 0), 2)
    image = Image.fromarray(photo)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    facts = {"exif": exif, "icc_profile": icc}
    tiled = io.BytesIO()
    tifffile.imwrite(tiled, photo, tile=(16, 16), photometric="rgb", compression="zlib")
    files = {
        "jpeg": save(image, "JPEG", **facts),
        "jpeg-progressive": save(image, "JPEG", progressive=True),
        "jpeg-cmyk": save(image.convert("CMYK"), "JPEG"),
        "png": save(image, "PNG", **facts),
        "png-palette": save(image.quantize(16), "PNG", transparency=3),
        "png-16": cv2.imencode(".png", photo.astype(np.uint16) * 257)[1].tobytes(),
        "webp": save(image, "WEBP", **facts),
        "webp-lossless": save(
            Image.fromarray(np.dstack([photo, noise[:, :, 0]])), "WEBP", lossless=True
        ),
        "tiff": save(image, "TIFF", **facts),
        "tiff-lzw": save(image, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": save(image, "TIFF", compression="tiff_deflate"),
        "tiff-jpeg": save(image, "TIFF", compression="jpeg"),
        "tiff-fax": save(image.convert("1"), "TIFF", compression="group4"),
        "tiff-tiles": tiled.getvalue(),
        "gif": save(image, "GIF"),
        "bmp": save(image, "BMP"),
        "ppm": save(image, "PPM"),
    }
    if features.check("avif"):
        files["avif"] = save(image, "AVIF")
    return files


KINDS = sorted(corpus())


def grey_tiff(width, height, changed=None):
    """256 bytes of 8-bit grey under any header: ``changed`` maps tags to (type, value)."""
    tags = {256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, 1), 262: (3, 1), 277: (3, 1)}
    tags |= {273: (4, 8), 279: (4, 256)} | (changed or {})
    entries = [struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in tags.items()]
    directory = struct.pack("<H", len(tags)) + b"".join(sorted(entries)) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + 256) + bytes(range(256)) + directory


def fault_of(data):
    """The reason of the refusal, or None where the file decodes to a proper array."""
    try:
        pixels = decode(data, Limits(max_megapixels=4)).pixels
    except SampleError as error:
        assert error.detail.encode()  # noqa: PT017 - it is written to tables: no surrogates
        return ImageFault(error.reason)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_the_corpus_itself_decodes(kind):
    assert fault_of(corpus()[kind]) is None


@pytest.mark.parametrize("kind", KINDS)
def test_cut_files_are_truncated(kind):
    data = corpus()[kind]
    for tenth in range(1, 21):  # 5 % … 95 %, and then all but a few bytes
        cut = len(data) * tenth // 20 if tenth < 20 else len(data) - 5
        assert fault_of(data[:cut]) is ImageFault.TRUNCATED, f"{cut} of {len(data)} bytes"


@pytest.mark.parametrize("kind", KINDS)
def test_stumps_are_refused(kind):
    data = corpus()[kind]
    assert fault_of(b"") is ImageFault.EMPTY_FILE
    for cut in range(1, min(64, len(data) // 4)):
        assert fault_of(data[:cut]) in (
            ImageFault.NOT_AN_IMAGE,
            ImageFault.TRUNCATED,
            ImageFault.CORRUPT,
        )


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(KINDS),
    edits=st.lists(
        st.tuples(st.integers(0, 2**20), st.booleans(), st.integers(0, 255)), min_size=1, max_size=6
    ),
)
def test_flipped_bytes_raise_nothing_else(kind, edits):
    data = bytearray(corpus()[kind])
    for position, near_an_end, value in edits:
        # Headers stand at the start, and in TIFF at the end: there a flip does most.
        reach = min(200, len(data)) if near_an_end else len(data)
        at = position % reach
        data[-at - 1 if near_an_end and position % 2 and kind.startswith("tiff") else at] = value
    fault_of(bytes(data))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200), st.sampled_from(KINDS), st.integers(0, 40))
def test_arbitrary_bytes_raise_nothing_else(data, kind, kept):
    fault_of(corpus()[kind][:kept] + data)


def test_damaged_png_pixels_do_not_pass():
    data = bytearray(corpus()["png"])
    data[data.index(b"IDAT") + 200] ^= 1
    assert fault_of(bytes(data)) is ImageFault.CORRUPT


# --- no images ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"<!DOCTYPE html><html>404</html>",
        b"BM is where this text begins, and it goes on for a while.",
        b"P1 is a paragraph",
        b"\0" * 100,
        b"\0\0\0\x20ftypisom\0\0\0\0isommp41" + bytes(50),
        bytes(range(256)),
    ],
)
def test_other_content_is_no_image(data):
    assert fault_of(data) is ImageFault.NOT_AN_IMAGE


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "HEIC"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom" + bytes(50), "camera raw"),
        (b"8BPS\0\1" + bytes(50), "Photoshop"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "JPEG 2000"),
    ],
)
def test_other_image_formats_are_named(data, said):
    with pytest.raises(SampleError, match=said) as caught:
        decode(data)
    assert caught.value.reason == ImageFault.FORMAT_UNSUPPORTED


# --- bombs ----------------------------------------------------------------------------------------


def png_bomb(side):
    """1-bit black, ``side`` pixels square: 20 kB for 13,000."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 7) // 8 + 1) * side, 9)
    parts = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def bombs():
    """Small files whose headers announce 13,000 pixels a side, and more."""
    image = Image.new("RGB", (16, 16))
    side = 13000

    def patched(data, at, new):
        return data[:at] + new + data[at + len(new) :]

    jpeg = save(image, "JPEG")
    yield "jpeg", patched(jpeg, jpeg.index(b"\xff\xc0") + 5, struct.pack(">HH", side, side))
    yield "png", png_bomb(side)
    lossy = save(image, "WEBP")
    yield "webp", patched(lossy, 26, struct.pack("<HH", side, side))
    lossless = save(image, "WEBP", lossless=True)
    bits = int.from_bytes(lossless[21:25], "little") >> 28 << 28 | (side - 1) << 14 | side - 1
    yield "webp-lossless", patched(lossless, 21, bits.to_bytes(4, "little"))
    extended = save(image, "WEBP", exif=b"Exif\0\0II*\0")
    yield "webp-extended", patched(extended, 24, (side - 1).to_bytes(3, "little") * 2)
    gif = save(image, "GIF")
    yield "gif", patched(gif, 6, struct.pack("<HH", side, side))
    yield "bmp", patched(save(image, "BMP"), 18, struct.pack("<ii", side, side))
    yield "ppm", b"P6 13000 13000 255\n" + bytes(100)
    yield "tiff", grey_tiff(side, side)


def test_bombs_are_refused_by_their_headers_without_the_memory(tmp_path):
    expected = dict(bombs())
    for name, data in expected.items():
        (tmp_path / name).write_bytes(data)
    program = """
import json, pathlib, resource, sys, warnings
warnings.simplefilter("error")
from inscene.errors import SampleError
from inscene.images import decode
from PIL import Image
Image.init()
reasons, before = {}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        decode(path.read_bytes())
    except SampleError as error:
        reasons[path.name] = error.reason
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([reasons, grown]))
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    reasons, grown_kib = json.loads(run.stdout)
    assert reasons == dict.fromkeys(expected, "image_too_many_pixels")
    assert grown_kib < 64 * 1024 * (1024 if sys.platform == "darwin" else 1)  # there in bytes
    assert run.stderr == ""


def test_tiles_far_larger_than_the_image_are_refused():
    sides = {322: (4, 8192), 323: (4, 8192), 324: (4, 8), 325: (4, 64)}
    assert fault_of(grey_tiff(16, 16, sides)) is ImageFault.CORRUPT


def test_tiffs_that_list_too_few_strips_are_refused():
    assert fault_of(grey_tiff(16, 16, {278: (3, 16)})) is None
    assert fault_of(grey_tiff(16, 16, {278: (3, 4)})) is ImageFault.CORRUPT


def test_jpegs_of_a_thousand_scans_are_refused():
    data = corpus()["jpeg-progressive"]
    last = data[data.rindex(b"\xff\xda") : -2]
    assert fault_of(data[:-2] + last * 20 + data[-2:]) is None
    assert fault_of(data[:-2] + last * 1000 + data[-2:]) is ImageFault.CORRUPT


def test_the_limit_can_be_raised_beyond_that_of_pillow(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # 52x40 would raise, 100 to 200 would warn
    for kind in KINDS:
        assert fault_of(corpus()[kind]) is None
    assert Image.MAX_IMAGE_PIXELS == 100


# --- Pillow's process-wide state ------------------------------------------------------------------


def test_cut_files_are_refused_even_where_a_library_allowed_them(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for kind in KINDS:
        data = corpus()[kind]
        assert fault_of(data[: len(data) * 3 // 4]) is ImageFault.TRUNCATED
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def noisy_tiff():
    """Decodes, but Pillow warns of an XResolution that lies beyond the end of the file."""
    return grey_tiff(16, 16, {282: (5, 10**6)})


def test_pillows_warnings_are_neither_errors_nor_noise():
    data = noisy_tiff()
    with pytest.warns(UserWarning, match="Truncated File Read"):
        Image.open(io.BytesIO(data))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("error")
        assert fault_of(data) is None
        warnings.simplefilter("always")
        assert fault_of(data) is None
    assert heard == []


def test_threads_leave_the_filters_as_they_found_them():
    data, before, faults = noisy_tiff(), list(warnings.filters), []
    settings_before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)

    def work():
        faults.extend(fault_of(data) for _ in range(40))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [None] * 320
    assert list(warnings.filters) == before
    assert settings_before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_memory_errors_speak_of_the_machine(monkeypatch):
    def starved(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", starved)
    with pytest.raises(MemoryError):
        decode(corpus()["jpeg-cmyk"])


def test_every_reason_has_a_word_and_a_meaning():
    assert len({fault.value for fault in ImageFault}) == len(ImageFault)
    for fault in ImageFault:
        assert fault.value == fault.value.lower().replace(" ", "_")
        assert fault.meaning
        assert fault.error().reason == fault.value
        assert type(fault.error().reason) is str
