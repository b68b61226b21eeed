"""What good files decode to, against references computed here."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, features

from inscene.errors import SampleError
from inscene.images import Decoded, ImageFault, Limits, decode

HAS_AVIF = features.check("avif")


def save(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def tiff(samples, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def png(width, height, depth, colour_type, rows, *, before=(), after=()):
    """A PNG from its parts; ``before`` and ``after`` are further chunks around the pixel data."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(rows)), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def refused(data):
    with pytest.raises(SampleError) as caught:
        decode(data)
    return ImageFault(caught.value.reason)


def close_to(pixels, expected, levels):
    return np.abs(pixels.astype(int) - expected).max() <= levels


@pytest.fixture(scope="module")
def photo():
    """Smooth colours with no symmetry, 40 rows by 56 columns."""
    y, x = np.mgrid[0:40, 0:56]
    planes = (x * 4.5, y * 6.2, 128 + 100 * np.sin(x / 9) * np.cos(y / 7 + x / 30))
    return np.stack(planes, axis=-1).astype(np.uint8)


ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("image_format", "options", "levels"),
    [
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 100, "subsampling": 0}, 4),
        pytest.param(
            "AVIF", {"quality": 100}, 8, marks=pytest.mark.skipif(not HAS_AVIF, reason="no AVIF")
        ),
    ],
)
def test_every_orientation_is_applied_exactly_once(
    photo, image_format, options, levels, orientation
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = decode(save(Image.fromarray(photo), image_format, exif=exif, **options))
    expected = ORIENTED[orientation](photo)
    assert got.pixels.shape == expected.shape
    assert close_to(got.pixels, expected, levels)
    assert got.orientation == orientation


def test_orientation_behind_the_pixels_of_a_png_counts(photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    rows = b"".join(b"\0" + row.tobytes() for row in photo)
    got = decode(png(56, 40, 8, 2, rows, after=[(b"eXIf", body)]))
    assert np.array_equal(got.pixels, np.rot90(photo, -1))
    assert got.orientation == 6


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist_change_nothing(photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = decode(save(Image.fromarray(photo), "PNG", exif=exif))
    assert np.array_equal(got.pixels, photo)
    assert got.orientation == 1


def test_broken_exif_does_not_lose_the_picture(photo):
    good = save(Image.fromarray(photo), "JPEG")
    got = decode(
        save(Image.fromarray(photo), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"x" * 9)
    )
    assert np.array_equal(got.pixels, decode(good).pixels)


def test_arrays_are_contiguous_writable_rgb(photo):
    for image_format in ("PNG", "JPEG", "TIFF", "BMP"):
        got = decode(save(Image.fromarray(photo), image_format))
        assert isinstance(got, Decoded)
        assert got.pixels.dtype == np.uint8
        assert got.pixels.shape == (40, 56, 3)
        assert got.pixels.flags.c_contiguous
        assert got.pixels.flags.writeable
        assert (got.format, got.mode, got.bit_depth) == (image_format, "RGB", 8)
        assert (got.had_alpha, got.orientation, got.icc_profile) == (False, 1, None)


def test_one_pixel_is_an_image():
    assert decode(save(Image.new("RGB", (1, 1), "red"), "PNG")).pixels.tolist() == [[[255, 0, 0]]]


# --- grey, ink, palettes, alpha ------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "GIF", "PPM"])
def test_grey_is_repeated(photo, image_format):
    grey = photo[:, :, 0]
    got = decode(save(Image.fromarray(grey), image_format))
    assert np.array_equal(got.pixels, np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "PPM"])
def test_one_bit_is_black_and_white(photo, image_format):
    bits = photo[:, :, 2] > 128
    got = decode(save(Image.fromarray(bits), image_format))
    assert np.array_equal(got.pixels[:, :, 1], np.where(bits, 255, 0))


def test_ink_jpegs_are_not_inverted(photo):
    ink = Image.fromarray(photo).convert("CMYK")
    got = decode(save(ink, "JPEG", quality=100))
    assert got.mode == "CMYK"
    assert close_to(got.pixels, photo, 6)


def test_ink_jpegs_in_luma_and_chroma(photo):
    data = save(Image.fromarray(photo).convert("CMYK"), "JPEG", quality=100)
    marker = data.index(b"Adobe")
    assert data[marker + 11] == 0  # the transform flag: 0 is plain CMYK, 2 is YCCK
    relabelled = data[: marker + 11] + b"\x02" + data[marker + 12 :]
    stored = 255.0 - np.asarray(Image.open(io.BytesIO(data))).astype(float)  # inverted, as Adobe's
    luma, blue, red, key = np.moveaxis(stored, -1, 0)
    rgb = np.stack(
        [
            luma + 1.402 * (red - 128),
            luma - 0.344136 * (blue - 128) - 0.714136 * (red - 128),
            luma + 1.772 * (blue - 128),
        ],
        axis=-1,
    ).clip(0, 255)
    expected = (255 - rgb) * key[:, :, None] / 255
    assert close_to(decode(relabelled).pixels, expected, 3)


@pytest.mark.parametrize(
    ("image_format", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})],
)
def test_alpha_is_composited_over_white(photo, image_format, options):
    alpha = photo[:, :, 1]
    got = decode(save(Image.fromarray(np.dstack([photo, alpha])), image_format, **options))
    weight = alpha[:, :, None] / 255
    assert close_to(got.pixels, photo * weight + 255 * (1 - weight), 0.51)
    assert got.had_alpha


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_grey_alpha_is_composited_over_white(photo, image_format):
    grey, alpha = photo[:, :, 0], photo[:, :, 1]
    got = decode(save(Image.fromarray(np.dstack([grey, alpha])), image_format))
    expected = grey * (alpha / 255) + 255 * (1 - alpha / 255)
    assert close_to(got.pixels, expected[:, :, None], 0.51)
    assert got.mode == "LA"


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_transparent_palette_entries_become_white(photo, image_format):
    painted = Image.fromarray(photo).quantize(16)
    index = np.asarray(painted)
    expected = np.asarray(painted.convert("RGB")).copy()
    assert np.array_equal(decode(save(painted, image_format)).pixels, expected)
    entry = int(index[0, 0])
    got = decode(save(painted, image_format, transparency=entry))
    expected[index == entry] = 255
    assert np.array_equal(got.pixels, expected)
    assert got.had_alpha


def test_palettes_with_one_alpha_an_entry(photo):
    painted = Image.fromarray(photo).quantize(4)
    index, colours = np.asarray(painted), np.asarray(painted.convert("RGB"))
    alphas = bytes([255, 0, 128, 64])
    got = decode(save(painted, "PNG", transparency=alphas))
    weight = np.frombuffer(alphas, np.uint8)[index][:, :, None] / 255
    assert close_to(got.pixels, colours * weight + 255 * (1 - weight), 0.51)


@pytest.mark.parametrize(
    ("depth", "colour_type", "row", "key", "expected"),
    [
        (8, 0, b"\x05\x80", (5,), [255, 128]),
        (2, 0, b"\x1b", (1,), [0, 255, 170, 255]),
        (1, 0, b"\xa0", (0,), [255, 255, 255]),
        (16, 0, struct.pack(">2H", 300, 40000), (300,), [255, 156]),
        (16, 2, struct.pack(">6H", 65535, 0, 0, 0, 0, 0), (65535, 0, 0), [255, 0]),
    ],
)
def test_colour_keys_of_every_depth(depth, colour_type, row, key, expected):
    chunk = (b"tRNS", struct.pack(f">{len(key)}H", *key))
    got = decode(png(len(expected), 1, depth, colour_type, b"\0" + row, before=[chunk]))
    assert got.pixels[0, :, 1].tolist() == expected
    assert got.had_alpha
    assert got.bit_depth == depth


# --- more than 8 bits -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deep():
    return np.random.default_rng(0).integers(0, 65536, (20, 31, 3)).astype(np.uint16)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "encode",
    [
        lambda a: cv2.imencode(".png", a[..., ::-1] if a.ndim == 3 else a)[1].tobytes(),
        lambda a: cv2.imencode(".tiff", a[..., ::-1] if a.ndim == 3 else a)[1].tobytes(),
        lambda a: tiff(a, photometric="rgb" if a.ndim == 3 else "minisblack"),
        lambda a: tiff(a, photometric="rgb" if a.ndim == 3 else "minisblack", byteorder=">"),
        lambda a: tiff(a, photometric="rgb" if a.ndim == 3 else "minisblack", compression="zlib"),
        lambda a: (b"P%d 31 20 65535\n" % (6 if a.ndim == 3 else 5)) + a.astype(">u2").tobytes(),
    ],
    ids=["png", "tiff-lzw", "tiff", "tiff-big-endian", "tiff-deflate", "ppm"],
)
def test_sixteen_bits_give_the_high_byte(deep, encode, channels):
    samples = deep if channels == 3 else deep[:, :, 0]
    got = decode(encode(samples)).pixels
    expected = (deep if channels == 3 else deep[:, :, :1]) >> 8
    # PPM scales by its stated maximum: equal, but for the rounding.
    assert close_to(got, expected, 1)
    assert np.mean(got == expected) > 0.45


def test_sixteen_bit_widening_is_undone_exactly(photo):
    for widened in (photo.astype(np.uint16) * 257, photo.astype(np.uint16) << 8):
        for data in (
            cv2.imencode(".png", widened[..., ::-1])[1].tobytes(),
            tiff(widened, photometric="rgb"),
        ):
            got = decode(data)
            assert np.array_equal(got.pixels, photo)
            assert got.bit_depth == 16


def test_sixteen_bit_white_is_zero(deep):
    grey = deep[:, :, 0]
    got = decode(tiff(grey, photometric="miniswhite"))
    assert np.array_equal(got.pixels[:, :, 0], (65535 - grey) >> 8)


def test_sixteen_bit_alpha(deep):
    data = cv2.imencode(".png", np.dstack([deep[..., ::-1], deep[:, :, 0]]))[1].tobytes()
    got = decode(data)
    weight = (deep[:, :, :1] >> 8) / 255
    assert close_to(got.pixels, (deep >> 8) * weight + 255 * (1 - weight), 0.51)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "uint32", "int8", "int16"])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_samples_without_an_agreed_white_are_refused(kind, photometric):
    shape = (8, 9, 3) if photometric == "rgb" else (8, 9)
    data = tiff(np.ones(shape, kind), photometric=photometric)
    assert refused(data) is ImageFault.PIXELS_UNSUPPORTED


def test_planes_apart(photo, deep):
    planes = np.ascontiguousarray(photo.transpose(2, 0, 1))
    data = tiff(planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(decode(data).pixels, photo)
    planes = np.ascontiguousarray(deep.transpose(2, 0, 1))
    data = tiff(planes, photometric="rgb", planarconfig="separate")
    assert refused(data) is ImageFault.PIXELS_UNSUPPORTED  # Pillow would return noise


def test_lab_is_refused():
    assert refused(save(Image.new("LAB", (4, 4)), "TIFF")) is ImageFault.PIXELS_UNSUPPORTED


# --- colour profiles ------------------------------------------------------------------------------

# Columns are the D50-adapted primaries.
SRGB_TO_XYZ = np.array(
    [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]
)
P3_TO_XYZ = np.array(
    [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
)


def icc_profile(name, gamma, primaries=None):
    """A minimal version 2 profile: grey, or RGB by a matrix and one gamma."""

    def fixed(*values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(79),
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249),
        b"cprt": b"text" + bytes(4) + b"none\0",
    }
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        for letter, column in zip((b"r", b"g", b"b"), primaries.T, strict=True):
            tags[letter + b"XYZ"] = b"XYZ " + bytes(4) + fixed(*column)
            tags[letter + b"TRC"] = curve
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">II", at + len(body), len(content))
        body += content
    size = at + len(body)
    space = b"GRAY" if primaries is None else b"RGB "
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02100000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + body


def srgb_encoded(linear):
    linear = np.clip(linear, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return curved * 255


@pytest.mark.parametrize(
    ("image_format", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
)
def test_wide_colours_are_converted_to_srgb(photo, image_format, options):
    profile = icc_profile("Wide test", 2.2, P3_TO_XYZ)
    data = save(Image.fromarray(photo), image_format, icc_profile=profile, **options)
    linear = (photo / 255) ** (563 / 256)  # the gamma as the profile can hold it
    expected = srgb_encoded(linear @ P3_TO_XYZ.T @ np.linalg.inv(SRGB_TO_XYZ).T)
    got = decode(data)
    assert close_to(got.pixels, expected, 3)
    assert not close_to(got.pixels, photo, 20)  # the test would notice a profile that is not used
    assert (got.icc_profile, got.icc_ignored) == ("Wide test", False)


def test_alpha_survives_the_colour_conversion(photo):
    profile = icc_profile("Wide test", 2.2, P3_TO_XYZ)
    opaque = decode(save(Image.fromarray(photo), "PNG", icc_profile=profile)).pixels
    alpha = photo[:, :, 1]
    data = save(Image.fromarray(np.dstack([photo, alpha])), "PNG", icc_profile=profile)
    weight = alpha[:, :, None] / 255
    assert close_to(decode(data).pixels, opaque * weight + 255 * (1 - weight), 0.51)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profiles(photo, mode):
    image = Image.fromarray(photo[:, :, 0]).convert(mode)
    got = decode(save(image, "PNG", icc_profile=icc_profile("Grey test", 1.75)))
    assert close_to(got.pixels, srgb_encoded((photo[:, :, :1] / 255) ** 1.75), 1.5)
    assert not close_to(got.pixels, photo[:, :, :1], 10)
    assert (got.icc_profile, got.icc_ignored) == ("Grey test", False)


def test_srgb_profiles_leave_the_pixels_alone(photo):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    got = decode(save(Image.fromarray(photo), "PNG", icc_profile=profile))
    assert np.array_equal(got.pixels, photo)
    assert got.icc_profile == "sRGB built-in"
    assert not got.icc_ignored


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "profile", [b"broken", bytes(200), icc_profile("cut", 2.2, P3_TO_XYZ)[:150]]
)
def test_broken_profiles_are_ignored_and_recorded(photo, mode, profile):
    image = Image.fromarray(photo).convert(mode)
    got = decode(save(image, "TIFF", icc_profile=profile))
    assert np.array_equal(got.pixels, np.asarray(image.convert("RGB")))
    assert got.icc_ignored


def test_profiles_for_other_pixels_are_ignored_and_recorded(photo):
    data = save(
        Image.fromarray(photo[:, :, 0]), "PNG", icc_profile=icc_profile("P", 1.0, P3_TO_XYZ)
    )
    got = decode(data)
    assert np.array_equal(got.pixels[:, :, 0], photo[:, :, 0])
    assert (got.icc_profile, got.icc_ignored) == ("P", True)


# --- several pictures in one file -----------------------------------------------------------------


@pytest.mark.parametrize(
    "image_format",
    [
        "GIF",
        "WEBP",
        "PNG",
        pytest.param("AVIF", marks=pytest.mark.skipif(not HAS_AVIF, reason="no AVIF")),
    ],
)
def test_animations_are_refused(photo, image_format):
    frames = [Image.fromarray(np.roll(photo, shift, axis=1)) for shift in (0, 9, 18)]
    data = save(frames[0], image_format, save_all=True, append_images=frames[1:])
    assert refused(data) is ImageFault.ANIMATED


def test_a_camera_jpeg_with_further_pictures_gives_the_first(photo):
    frames = [Image.fromarray(photo), Image.fromarray(photo[::2, ::2])]
    data = save(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=100)
    got = decode(data)
    assert got.format == "MPO"
    assert close_to(got.pixels, photo, 24)


def tiff_pages(*pages):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for samples, subfile_type in pages:
            writer.write(samples, photometric="rgb", subfiletype=subfile_type)
    return buffer.getvalue()


def test_tiff_pages(photo):
    assert refused(tiff_pages((photo, 0), (photo, 0))) is ImageFault.MULTIPAGE
    with_preview = tiff_pages((photo, 0), (photo[::2, ::2].copy(), 1))
    assert np.array_equal(decode(with_preview).pixels, photo)


def test_thumbnails_of_camera_raws_do_not_pass_for_the_photo(photo):
    thumbnail_first = tiff_pages((photo[::4, ::4].copy(), 1), (photo, 0))
    assert refused(thumbnail_first) is ImageFault.FORMAT_UNSUPPORTED
    dng = tiff(photo, photometric="rgb", extratags=[(50706, "B", 4, b"\1\4\0\0", True)])
    assert refused(dng) is ImageFault.FORMAT_UNSUPPORTED


def test_large_tiles_of_small_images_are_fine(photo):
    data = tiff(photo, photometric="rgb", tile=(256, 256), compression="zlib")
    assert np.array_equal(decode(data).pixels, photo)


def test_the_limit_is_inclusive(photo):
    data = save(Image.fromarray(photo), "PNG")
    assert decode(data, Limits(max_megapixels=40 * 56 / 1e6)).pixels.shape == (40, 56, 3)
    with pytest.raises(SampleError, match="image_too_many_pixels"):
        decode(data, Limits(max_megapixels=(40 * 56 - 1) / 1e6))
