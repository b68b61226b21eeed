"""Embedded colour profiles to sRGB."""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageCms

_NAME_LIMIT = 120  # characters; profile descriptions are free text from the file


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None, bool]:
    """Converts an "L", "RGB" or "CMYK" image to "RGB" under its profile.

    Returns the image, the profile's own name, and whether the profile was *ignored*: unreadable, or
    made for another kind of pixels (an RGB profile in a grey file). Ignoring is what viewers do:
    the numbers are then read as sRGB, which nearly all such files are, and the flag keeps the
    fact. CMYK without a usable profile is converted by the plain ink formula.
    """
    name, transform, usable = _transform(profile, image.mode) if profile else (None, None, True)
    if transform is not None:
        return transform.apply(image), name, False
    # convert() copies even where there is nothing to convert.
    return image if image.mode == "RGB" else image.convert("RGB"), name, not usable


@functools.lru_cache(maxsize=16)  # a camera writes the same profile into every file
def _transform(
    profile: bytes, mode: str
) -> tuple[str | None, ImageCms.ImageCmsTransform | None, bool]:
    """(name, transform or None where none is needed or possible, whether the profile is usable)."""
    name: str | None = None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip()[:_NAME_LIMIT] or None
        # Perceptual is the intent meant for photos; matrix profiles, the usual ones, ignore it.
        # The finer tables cost nothing by pixel and halve the error of grey profiles in the dark.
        transform = ImageCms.buildTransform(
            source,
            _srgb(),
            mode,
            "RGB",
            ImageCms.Intent.PERCEPTUAL,
            ImageCms.Flags.HIGHRESPRECALC,
        )
        identity = _is_identity(transform, mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return name, None, False
    return name, None if identity else transform, True


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the transform moves no colour of a lattice by more than one level.

    There are dozens of sRGB profiles under as many names; converting by one of them would only add
    rounding noise to every pixel.
    """
    if mode == "CMYK":
        return False
    levels = np.arange(0, 256, 15, dtype=np.uint8)  # 18 levels with both ends
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    if mode == "L":
        lattice = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    image = Image.fromarray(lattice).convert(mode)
    moved = np.asarray(transform.apply(image)).astype(np.int16) - lattice
    return bool(np.abs(moved).max() <= 1)
