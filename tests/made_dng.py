"""DNGs as a camera with a known sensor would write them."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Linear sRGB to XYZ, D65 (IEC 61966-2-1).
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
NEUTRAL = (0.5, 1.0, 0.6)
"""What the sensor's channels see of white: far from it, so that a lost white balance shows."""
CROSSTALK = np.array([[0.85, 0.1, 0.05], [0.1, 0.8, 0.1], [0.02, 0.18, 0.8]])
"""Each filter lets some light of the others pass; rows sum to 1."""
BLACK, WHITE = 512, 16383
ELECTRONS_AT_ISO_100 = 60_000
"""That fill the sensor; each doubling of the ISO halves them."""
READ_NOISE = 3.0
"""Electrons."""
GPS, EXIF = 34853, 34665


@dataclass(frozen=True)
class Camera:
    iso: int | None = 1600
    exposure: tuple[int, int] = (1, 60)
    orientation: int = 1
    make: str = "Maker Corp."
    model: str = "Model 7"
    noise_seed: int | None = None
    """None: no noise."""
    leave_out: tuple[int, ...] = ()
    """Tags."""
    more: tuple[tuple[Any, ...], ...] = ()
    """Tags as tifffile takes them."""
    more_exif: tuple[tuple[int, bytes], ...] = ()
    gps: bytes = b""


def write_dng(scene: Floats, camera: Camera = Camera()) -> bytes:
    """``scene``: (H, W, 3) linear sRGB, 0..1, even sizes; its mosaic RGGB."""
    sensor = scene @ (np.diag(NEUTRAL) @ CROSSTALK).T
    mosaic = np.empty(scene.shape[:2])
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = sensor[row::2, column::2, channel]
    if camera.noise_seed is not None:
        assert camera.iso is not None
        full, rng = full_well(camera.iso), np.random.default_rng(camera.noise_seed)
        electrons = rng.poisson(mosaic * full) + rng.normal(0, READ_NOISE, mosaic.shape)
        mosaic = electrons / full
    counts = np.clip(np.round(BLACK + mosaic * (WHITE - BLACK)), 0, WHITE).astype(np.uint16)
    tags = [
        (271, "s", 0, camera.make),
        (272, "s", 0, camera.model),
        (274, "H", 1, camera.orientation),
        (33421, "H", 2, (2, 2)),  # CFARepeatPatternDim
        (33422, "B", 4, (0, 1, 1, 2)),  # CFAPattern
        (EXIF - 1, "I", 1, 0),  # tifffile writes no pointers: these become such below
        (GPS - 1, "I", 1, 0),
        (50706, "B", 4, (1, 4, 0, 0)),  # DNGVersion
        (50708, "s", 0, "Model 7"),  # UniqueCameraModel
        (50714, "H", 1, BLACK),
        (50717, "H", 1, WHITE),
        (50721, "2i", 9, _rationals(np.diag(NEUTRAL) @ CROSSTALK @ np.linalg.inv(XYZ))),
        (50728, "2I", 3, _rationals(np.array(NEUTRAL))),  # AsShotNeutral
        (50778, "H", 1, 21),  # CalibrationIlluminant1: D65
        *camera.more,
    ]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        counts,
        byteorder="<",
        photometric=32803,  # colour filter array
        extratags=[tag for tag in tags if tag[0] not in camera.leave_out],
        metadata=None,
        software=False,
        rowsperstrip=16,
    )
    data = bytearray(buffer.getvalue())
    exif = [(33434, 5, 1, struct.pack("<II", *camera.exposure))]
    if camera.iso is not None:
        exif.append((34855, 3, 1, struct.pack("<H", camera.iso)))
    exif += [(tag, 7, len(value), value) for tag, value in camera.more_exif]
    _append(data, EXIF, exif)
    _append(data, GPS, [(29, 2, len(camera.gps) + 1, camera.gps + b"\0")])  # GPSDateStamp
    return bytes(data)


def noise_of_linear_demosaic(linear: Floats, iso: int) -> Floats:
    """Standard deviation that shot and read noise leave in flat linear sRGB (..., 3), averaged over
    the mosaic: own samples count once, means of two and of four a half and a quarter."""
    kept = np.array(
        [1 / 4 + 1 / 2 / 2 + 1 / 4 / 4, 1 / 2 + 1 / 2 / 4, 1 / 4 + 1 / 2 / 2 + 1 / 4 / 4]
    )
    full, gains = full_well(iso), 1 / np.array(NEUTRAL)
    signal = linear @ (np.diag(NEUTRAL) @ CROSSTALK).T
    variance = (signal / full + (READ_NOISE / full) ** 2) * gains**2 * kept
    result: Floats = np.sqrt(variance @ (np.linalg.inv(CROSSTALK) ** 2).T)
    return result


def full_well(iso: int) -> float:
    """Electrons."""
    return ELECTRONS_AT_ISO_100 * 100 / iso


def patches(seed: int = 0, rows: int = 4, columns: int = 6, side: int = 32) -> Floats:
    """A chart of flat colours, none near black or white."""
    colours = np.random.default_rng(seed).uniform(0.05, 0.9, (rows, columns, 3))
    return np.repeat(np.repeat(colours, side, axis=0), side, axis=1)


def patch_statistics(image: Floats, side: int = 32) -> tuple[Floats, Floats]:
    """Mean and standard deviation inside each patch, (rows, columns, 3)."""
    rows, columns = image.shape[0] // side, image.shape[1] // side
    cells = image.reshape(rows, side, columns, side, 3)[:, 8:-8, :, 8:-8]
    return cells.mean((1, 3)), cells.std((1, 3))


def to_srgb(linear: Floats) -> Floats:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def to_linear(encoded: Floats) -> Floats:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _rationals(values: Floats) -> list[int]:
    return [number for value in values.ravel() for number in (round(value * 10_000), 10_000)]


def _append(data: bytearray, pointer: int, entries: Sequence[tuple[int, int, int, bytes]]) -> None:
    """A directory behind all else, and the pointer to it."""
    data += b"\0" * (len(data) % 2)
    start = len(data)
    behind = start + 2 + 12 * len(entries) + 4
    table, values = struct.pack("<H", len(entries)), b""
    for tag, kind, count, value in sorted(entries):
        place = value.ljust(4, b"\0")
        if len(value) > 4:
            place = struct.pack("<I", behind + len(values))
            values += value + b"\0" * (len(value) % 2)
        table += struct.pack("<HHI", tag, kind, count) + place
    data += table + struct.pack("<I", 0) + values
    at = data.find(struct.pack("<HHII", pointer - 1, 4, 1, 0))
    assert at >= 0
    data[at : at + 12] = struct.pack("<HHII", pointer, 4, 1, start)
