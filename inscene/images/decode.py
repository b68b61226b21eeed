"""Bytes to upright 8-bit sRGB pixels, or to one reasoned refusal."""

from __future__ import annotations

import dataclasses
import io
import math

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, TiffImagePlugin

from inscene.errors import SampleError
from inscene.images import headers
from inscene.images.colour import to_srgb
from inscene.images.pillow_settings import strict_and_quiet
from inscene.images.rules import DEFAULT_LIMITS, ImageFault, Limits

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# TIFF (revision 6.0).
_REDUCED_SIZE = 1  # bit of NewSubfileType: a smaller copy of another page
_MAX_PREVIEW_PAGES = 16
_MAX_TILE_PIXELS = 2048**2  # writers use 256² to 1024², whatever the image; larger ones follow it
_UNSIGNED, _UNDEFINED = 1, 4  # SampleFormat
_PLANAR = 2  # PlanarConfiguration
_MIN_IS_WHITE = 0  # PhotometricInterpretation


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
    """One image, and what was in the file before it was made uniform.

    ``pixels``: (H, W, 3) uint8 sRGB, C-contiguous and writable, upright, alpha over white.
    ``format``, ``mode``: Pillow's names of the container and of its pixels as decoded.
    ``bit_depth``: bits a sample had in the file where its header says so, else 8.
    ``had_alpha``: an alpha channel, a transparent palette entry or a colour key was there.
    ``orientation``: the EXIF orientation (1–8) that has been applied; 1 is none.
    ``icc_profile``: the embedded profile's own name; ``icc_ignored``: it could not be applied.
    """

    pixels: npt.NDArray[np.uint8]
    format: str
    mode: str
    bit_depth: int
    had_alpha: bool
    orientation: int
    icc_profile: str | None
    icc_ignored: bool


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Decoded:
    """Decodes one still image.

    - *Alpha* is composited over white, the page on which such images were drawn; the colour
      hidden under full transparency is arbitrary and must not reach a training set.
    - *16 bits* give the high byte: 256 equal bins, the exact inverse of both usual ways from 8 to
      16 bits (×257 and ×256). Pillow does so for colour; OpenCV for PNG, but it rounds TIFF.
    - *Profiles* (ICC) are converted to sRGB. PNG's gAMA and cHRM are not read, and HDR transfer
      curves are not tone-mapped.
    - *MPO*, the camera's JPEG with further pictures behind it, gives its first, the photo.

    The pixel limit is compared with the header, before decoding. Raises :class:`SampleError` with
    an :class:`ImageFault` reason and nothing else, whatever the bytes; only ``MemoryError`` passes,
    because it speaks of this machine.
    """
    if not data:
        raise ImageFault.EMPTY_FILE.error()
    image_format = headers.sniff(data)
    if image_format == "JPEG":
        headers.check_jpeg(data)
    if image_format == "PNG":
        headers.check_png(data)
    if image_format == "WEBP" and (size := headers.webp_size(data)):
        _refuse_too_many_pixels(size, limits)
    with strict_and_quiet:
        try:
            image = _open(data, image_format)
            _refuse_too_many_pixels(image.size, limits)
            return _to_decoded(image, data)
        except (SampleError, MemoryError):
            raise
        # Plugins answer hostile bytes with anything from struct.error to ZeroDivisionError.
        except Exception as error:
            raise _diagnosis(data, image_format, error) from error


def _open(data: bytes, image_format: str) -> Image.Image:
    """Pillow's plugin for one known format, header only.

    ``Image.open(formats=[…])`` does the same, but answers every failure with "cannot identify
    image file", where the plugin says what it does not like.
    """
    if image_format not in Image.OPEN:
        Image.init()
    factory, accept = Image.OPEN.get(image_format, (None, None))
    # Plugins whose library is missing answer with a sentence instead of a yes or no.
    if factory is None or (accept and isinstance(accept(data[:16]), str)):
        raise ImageFault.FORMAT_UNSUPPORTED.error(f"this Pillow was built without {image_format}")
    return factory(io.BytesIO(data), "")


def _refuse_too_many_pixels(size: tuple[int, int], limits: Limits) -> None:
    megapixels = size[0] * size[1] / 1e6
    if megapixels > limits.max_megapixels:
        raise ImageFault.TOO_MANY_PIXELS.error(
            f"{size[0]}x{size[1]} is {megapixels:.1f} MP, the limit {limits.max_megapixels:g} MP"
        )


def _diagnosis(data: bytes, image_format: str, error: Exception) -> SampleError:
    """The plugin's exception as a reason: an unusual kind of pixels, bytes missing, bytes wrong."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, (OSError, SyntaxError)) and str(error):  # Pillow's own sentences
        said = str(error)
    fault = ImageFault.CORRUPT
    if image_format == "TIFF" and "unknown pixel mode" in said:
        fault = ImageFault.PIXELS_UNSUPPORTED
    elif "truncated" in said.lower() or "EOF" in said or headers.is_cut(data, image_format):
        fault = ImageFault.TRUNCATED
    return fault.error(f"{image_format}, {len(data)} bytes: {said}")


def _to_decoded(image: Image.Image, data: bytes) -> Decoded:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _refuse_unfit_tiff(image)
    elif image.format != "MPO" and getattr(image, "is_animated", False):
        raise ImageFault.ANIMATED.error(f"{getattr(image, 'n_frames', 'several')} frames")
    bit_depth = _bit_depth(image, data)
    announced = _orientation(image)
    image.load()
    # TIFF is turned by Pillow itself while loading; a PNG may carry its EXIF behind the pixels.
    pending = _orientation(image)
    mode, profile = image.mode, image.info.get("icc_profile")
    colour, alpha = _split_alpha(image, bit_depth)
    rgb, name, ignored = to_srgb(colour, profile if isinstance(profile, bytes) else None)
    if alpha is not None:
        canvas = Image.new("RGB", rgb.size, "white")
        canvas.paste(rgb, mask=alpha)
        rgb = canvas
    if pending != 1:
        rgb = rgb.transpose(_UPRIGHT[pending])
    return Decoded(
        pixels=np.array(rgb, dtype=np.uint8),
        format=image.format or "",
        mode=mode,
        bit_depth=bit_depth,
        had_alpha=alpha is not None,
        orientation=announced if pending == 1 else pending,
        icc_profile=name,
        icc_ignored=ignored,
    )


def _refuse_unfit_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    tags, names = image.tag_v2, ExifTags.Base
    # Camera raws are TIFFs whose first page is a thumbnail: it must not pass for the photo.
    if tags.get(names.NewSubfileType, 0) & _REDUCED_SIZE or names.DNGVersion in tags:
        raise ImageFault.FORMAT_UNSUPPORTED.error("the content is camera raw")
    _check_tiff_samples(image)
    _check_tiff_blocks(image)
    for page in range(1, _MAX_PREVIEW_PAGES + 1):
        try:
            image.seek(page)
        except EOFError:
            break
        if not image.tag_v2.get(names.NewSubfileType, 0) & _REDUCED_SIZE:
            raise ImageFault.MULTIPAGE.error(f"page {page + 1} is not a preview of page 1")
    image.seek(0)


def _check_tiff_samples(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuses what Pillow would decode to a wrong picture instead of an error."""
    tags, names = image.tag_v2, ExifTags.Base
    if not set(tags.get(names.SampleFormat, (_UNSIGNED,))) <= {_UNSIGNED, _UNDEFINED}:
        raise ImageFault.PIXELS_UNSUPPORTED.error("signed or floating-point samples")
    depth = max(tags.get(names.BitsPerSample, (1,)))
    if depth > 8 and tags.get(names.PlanarConfiguration) == _PLANAR:
        raise ImageFault.PIXELS_UNSUPPORTED.error(f"{depth}-bit samples in separate planes")


def _check_tiff_blocks(image: TiffImagePlugin.TiffImageFile) -> None:
    """Raises CORRUPT where the strips or tiles listed cannot be those of the image.

    Pillow leaves the area of unlisted strips black, and libtiff allocates a whole tile, whatever
    the size of the image.
    """
    tags, names = image.tag_v2, ExifTags.Base
    width, height = tags[names.ImageWidth], tags[names.ImageLength]
    if names.TileWidth in tags:
        across, down = tags[names.TileWidth], tags[names.TileLength]
        if across * down > max(_MAX_TILE_PIXELS, 4 * width * height):
            raise ImageFault.CORRUPT.error(f"tiles of {across}x{down} for {width}x{height} pixels")
        listed = tags[names.TileOffsets]
    else:
        across, down = width, min(tags.get(names.RowsPerStrip, height), height)
        listed = tags[names.StripOffsets]
    needed = math.ceil(width / across) * math.ceil(height / down)
    if len(listed) < needed:
        raise ImageFault.CORRUPT.error(f"{len(listed)} blocks of pixels listed, {needed} needed")


def _bit_depth(image: Image.Image, data: bytes) -> int:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(map(int, image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))))
    if image.format == "PNG" and image.mode != "P":
        return data[24]  # IHDR is the first chunk and its layout is fixed
    return {"1": 1, "I": 16}.get(image.mode, 8)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none, or none that makes sense."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a broken EXIF block does not make the picture worse
        return 1
    return value if value in _UPRIGHT else 1


def _split_alpha(image: Image.Image, bit_depth: int) -> tuple[Image.Image, Image.Image | None]:
    """(an "L", "RGB" or "CMYK" image, its alpha as "L" or None)."""
    if image.mode.startswith("I"):
        return _split_grey16(image, bit_depth)
    if image.has_transparency_data:
        key = image.info.get("transparency")
        # PNG gives a transparent colour in the file's own depth, Pillow compares it with 8 bits.
        if bit_depth == 16 and isinstance(key, tuple):
            image.info["transparency"] = tuple(value >> 8 for value in key)
        elif image.mode == "L" and isinstance(key, int):
            image.info["transparency"] = key * 255 // (2**bit_depth - 1)
        whole = image.convert("RGBA")
        # Grey stays one channel, because a grey profile fits nothing else.
        grey = image.mode in ("1", "L", "LA", "La")
        return whole.getchannel("R") if grey else whole.convert("RGB"), whole.getchannel("A")
    if image.mode == "1":
        return image.convert("L"), None
    if image.mode in ("P", "YCbCr", "RGBX"):
        return image.convert("RGB"), None
    if image.mode not in ("L", "RGB", "CMYK"):
        raise ImageFault.PIXELS_UNSUPPORTED.error(f"pixels of mode {image.mode!r}")
    return image, None


def _split_grey16(image: Image.Image, bit_depth: int) -> tuple[Image.Image, Image.Image | None]:
    photometric = None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if image.mode == "I":  # signed or 32-bit: no agreed white
            raise ImageFault.PIXELS_UNSUPPORTED.error(f"{bit_depth}-bit integer pixels")
        photometric = image.tag_v2.get(ExifTags.Base.PhotometricInterpretation)
    samples = np.asarray(image).astype(np.uint16)
    key = image.info.get("transparency")
    alpha = None
    if key is not None:
        alpha = Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8))
    if bit_depth == 12:
        samples <<= 4
    # Pillow inverts min-is-white pages of 1 to 8 bits, but not of 16.
    if photometric == _MIN_IS_WHITE:
        samples = ~samples
    return Image.fromarray((samples >> 8).astype(np.uint8)), alpha
