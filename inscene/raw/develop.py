"""One RAW file to upright sRGB pixels, and what there is to know of it.

Runs where LibRaw may crash: in the child process of :mod:`inscene.raw.decoder`.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inscene.errors import MachineError, SampleError
from inscene.images import ImageFault
from inscene.raw.container import is_cut, make_and_model
from inscene.raw.settings import Settings

UNSUPPORTED = "raw_unsupported"
NO_WHITE_BALANCE = "raw_without_white_balance"

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Developed:
    pixels: Pixels
    """(H, W, 3) sRGB, upright; as many bits as the settings say."""
    facts: dict[str, Any]
    """JSON values: iso, exposure_s, make, model, black_level, white_level (null where the file
    does not say), and ``development``: versions, parameters, white balance, rotation."""


def develop(data: bytes, settings: Settings) -> Developed:
    """Raises :class:`SampleError` for a file that gives no such pixels, :class:`MachineError` where
    the memory does not suffice."""
    import rawpy

    if is_cut(data):  # LibRaw makes up what is missing, where it is little
        raise ImageFault.TRUNCATED.error(f"the {len(data)} bytes end before the pixels do")
    with rawpy.RawPy() as raw:
        try:
            raw.open_buffer(io.BytesIO(data))
            flip = raw.sizes.flip  # before: LibRaw replaces it by the one that it is asked for
            _check_size(raw.sizes, settings)
            raw.unpack()
            facts = _facts(raw)
            _check_colours(raw, settings)
            developed = raw.postprocess(rawpy.Params(**_as_rawpy(rawpy, settings.parameters())))
            multipliers = raw.auto_whitebalance
        except (rawpy.LibRawUnsufficientMemoryError, MemoryError) as error:
            raise MachineError(
                "LibRaw ran out of memory",
                next_step="Use fewer --workers, or a smaller --set develop.max_megapixels.",
            ) from error
        except (rawpy.LibRawError, rawpy.NotSupportedError, OSError) as error:
            raise _diagnosis(rawpy, error) from error
    if developed.shape[2] == 1:  # a sensor without colours
        developed = developed.repeat(3, axis=2)
    if developed.shape[2] != 3:
        raise SampleError(UNSUPPORTED, f"{developed.shape[2]} colours")
    facts["make"], facts["model"] = make_and_model(data)
    facts["development"] = {
        "libraw": ".".join(map(str, rawpy.libraw_version)),
        "rawpy": rawpy.__version__,
        "parameters": settings.parameters(),
        "white_balance": _numbers(multipliers),
        "flip": flip,
    }
    return Developed(upright(developed, flip), facts)


def upright(pixels: Pixels, flip: int) -> Pixels:
    """Turned as LibRaw's ``flip`` says: 1 mirrors columns, 2 rows, and 4 then swaps the two."""
    if flip & 2:
        pixels = pixels[::-1]
    if flip & 1:
        pixels = pixels[:, ::-1]
    if flip & 4:
        pixels = pixels.transpose(1, 0, 2)
    turned: Pixels = np.ascontiguousarray(pixels)  # type: ignore[assignment]
    return turned


def _check_size(sizes: Any, settings: Settings) -> None:
    """Before anything is decoded. The margins that cameras mask cost memory too."""
    for width, height in ((sizes.raw_width, sizes.raw_height), (sizes.width, sizes.height)):
        if width * height > settings.max_megapixels * 1e6:
            raise ImageFault.TOO_MANY_PIXELS.error(
                f"{width}x{height} is {width * height / 1e6:.1f} MP, "
                f"the limit {settings.max_megapixels:g} MP"
            )


def _facts(raw: Any) -> dict[str, Any]:
    try:
        iso, exposure = raw.other.iso_speed, raw.other.shutter_speed
    except (ValueError, OverflowError, OSError):  # rawpy reads the date too, and it may be nonsense
        iso = exposure = None
    return {
        "iso": round(iso) if _is_positive(iso) else None,
        "exposure_s": float(f"{exposure:.6g}") if _is_positive(exposure) else None,
        "black_level": [int(level) for level in raw.black_level_per_channel],
        "white_level": int(raw.white_level),
    }


def _is_positive(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and 0 < value < 2**31


def _check_colours(raw: Any, settings: Settings) -> None:
    """LibRaw goes on without a word where the file does not say what it needs: with a white balance
    that it estimates, with colours as the sensor sees them."""
    if raw.num_colors < 3:
        return
    camera = raw.camera_whitebalance[:3]
    if settings.white_balance == "camera" and not all(_is_positive(value) for value in camera):
        raise SampleError(
            NO_WHITE_BALANCE, f"the camera stored {_numbers(camera)}; daylight or auto can be used"
        )
    if not (np.any(raw.color_matrix) or np.any(raw.rgb_xyz_matrix)):
        raise SampleError(UNSUPPORTED, "no colour matrix: LibRaw does not know this sensor")


def _numbers(values: Any) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _as_rawpy(rawpy: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    return parameters | {
        "demosaic_algorithm": rawpy.DemosaicAlgorithm[parameters["demosaic_algorithm"]],
        "output_color": rawpy.ColorSpace[parameters["output_color"]],
        "gamma": tuple(parameters["gamma"]),
    }


def _diagnosis(rawpy: Any, error: Exception) -> SampleError:
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    if isinstance(error, rawpy.LibRawTooBigError):
        return ImageFault.TOO_MANY_PIXELS.error(f"LibRaw: {text}")
    if isinstance(error, (rawpy.LibRawIOError, rawpy.LibRawDataError, rawpy.LibRawBadCropError)):
        return ImageFault.CORRUPT.error(f"LibRaw: {text}")
    return SampleError(UNSUPPORTED, f"LibRaw: {text or type(error).__name__}")
