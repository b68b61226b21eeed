"""Gaussian and Poisson noise of Real-ESRGAN (BasicSR 8d56e3a), each sample with its own field."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inscene.degrade import philox
from inscene.degrade.arrays import FloatImage
from inscene.degrade.compiled import compiled
from inscene.degrade.counts import count_tables
from inscene.degrade.philox import CHUNK
from inscene.degrade.values import GaussianNoise, PoissonNoise
from inscene.seeds import derive_key

RNG_NAME = philox.NAME

LUMA = (0.2989, 0.587, 0.114)  # torchvision's weights; they sum to 0.9999

Flat = npt.NDArray[np.float32]


def noise_key(noise_seed: int, name: str) -> np.uint64:
    """The stream of one noise operation of one image."""
    return np.uint64(int.from_bytes(derive_key("noise", noise_seed, name)[:8], "little"))


def add_noise(image: FloatImage, noise: GaussianNoise | PoissonNoise, key: np.uint64) -> None:
    """Add one field of noise to the image, in place, and clip it to 0..1.

    Poisson noise is that of the image as seen in 8 bits: its variance is scale²·value/levels. The
    original takes ``levels`` from the number of distinct values in the image (``auto``), which
    makes one operator mean two things for two images; in photographs it comes out as 256.
    """
    planes = image.reshape(3, -1)
    if isinstance(noise, GaussianNoise):
        strength = np.float32(noise.sigma / 255)
        if noise.gray:
            _add_gray_normals(planes, strength, key)
        else:
            _add_normals(planes.reshape(-1), strength, key)
        return
    levels = _levels(planes, noise.gray) if noise.levels == "auto" else noise.levels
    tables = count_tables(levels)
    strength = np.float32(noise.scale / levels)
    add = _add_gray_counts if noise.gray else _add_counts
    add(planes, strength, key, tables.cells, tables.lowest_minus_mean, tables.column_bits)


def _levels(planes: FloatImage, gray: bool) -> int:
    """The power of two that is not below the number of distinct 8-bit values."""
    values = np.empty(planes.shape[1], np.float32)
    if gray:
        _luma(planes, 0, values)
    counts = len(np.unique(np.rint(np.clip(values if gray else planes, 0, 1) * 255)))
    return 1 << (counts - 1).bit_length()


@compiled
def _add_normals(values: Flat, strength: np.float32, key: np.uint64) -> None:
    words, normals = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.float32)
    for start in range(0, len(values), CHUNK):
        philox.fill_normals(key, start // CHUNK, words, normals)
        some = values[start : start + CHUNK]
        for i in range(len(some)):
            some[i] = _clipped(some[i] + strength * normals[i])


@compiled
def _add_gray_normals(planes: FloatImage, strength: np.float32, key: np.uint64) -> None:
    words, normals = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.float32)
    for start in range(0, planes.shape[1], CHUNK):
        philox.fill_normals(key, start // CHUNK, words, normals)
        for channel in range(3):
            some = planes[channel, start : start + CHUNK]
            for i in range(len(some)):
                some[i] = _clipped(some[i] + strength * normals[i])


@compiled
def _add_counts(
    planes: FloatImage,
    strength: np.float32,
    key: np.uint64,
    cells: npt.NDArray[np.uint32],
    lowest_minus_mean: Flat,
    column_bits: int,
) -> None:
    words, field = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.float32)
    values = planes.reshape(-1)
    for start in range(0, len(values), CHUNK):
        philox.fill_words(key, start // CHUNK, words)
        some = values[start : start + CHUNK]
        _counts(some, words, cells, lowest_minus_mean, column_bits, field)
        for i in range(len(some)):
            some[i] = _clipped(some[i] + strength * field[i])


@compiled
def _add_gray_counts(
    planes: FloatImage,
    strength: np.float32,
    key: np.uint64,
    cells: npt.NDArray[np.uint32],
    lowest_minus_mean: Flat,
    column_bits: int,
) -> None:
    words, field = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.float32)
    luma = np.empty(CHUNK, np.float32)
    for start in range(0, planes.shape[1], CHUNK):
        philox.fill_words(key, start // CHUNK, words)
        length = min(CHUNK, planes.shape[1] - start)
        _luma(planes, start, luma[:length])
        _counts(luma[:length], words, cells, lowest_minus_mean, column_bits, field)
        for channel in range(3):
            some = planes[channel, start : start + length]
            for i in range(length):
                some[i] = _clipped(some[i] + strength * field[i])


@compiled
def _counts(
    values: Flat,
    words: npt.NDArray[np.uint32],
    cells: npt.NDArray[np.uint32],
    lowest_minus_mean: Flat,
    column_bits: int,
    field: Flat,
) -> None:
    """``field`` becomes counts minus means, for values in any range (clipped to 0..1)."""
    bits = np.uint32(column_bits)
    low = (np.uint32(1) << bits) - np.uint32(1)
    for i in range(len(values)):
        value = np.uint32(np.int32(np.rint(_clipped(values[i]) * np.float32(255))))
        word = words[i]
        # The low bits choose the column, the high ones are compared with its threshold.
        column = word & low
        cell = cells[value << bits | column]
        index = column if (word >> bits) < (cell >> bits) else cell & low
        field[i] = np.float32(np.int32(index)) + lowest_minus_mean[value]


@compiled
def _luma(planes: FloatImage, start: int, luma: Flat) -> None:
    for i in range(len(luma)):
        j = start + i
        luma[i] = _RED * planes[0, j] + _GREEN * planes[1, j] + _BLUE * planes[2, j]


@compiled
def _clipped(value: np.float32) -> np.float32:
    return min(max(value, _BLACK), _WHITE)


_RED, _GREEN, _BLUE = (np.float32(weight) for weight in LUMA)
_BLACK, _WHITE = np.float32(0), np.float32(1)
