"""Resizing with the sample positions and weights of torch's ``interpolate``.

That is ``align_corners=False`` and no antialiasing: bilinear and bicubic (a = -0.75) look at 2 and
4 input pixels however far the image shrinks, and ``area`` is adaptive average pooling, which
OpenCV's INTER_AREA is not. A filter is a sparse matrix for rows and one for columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from inscene.degrade.arrays import FloatImage
from inscene.degrade.values import Filter

BICUBIC_A = -0.75


def resize(
    image: FloatImage, size: tuple[int, int], filter: Filter, legacy_scale: float | None = None
) -> FloatImage:
    """Resize to ``size`` = (height, width), each at least 1. Bicubic overshoots 0..1.

    ``legacy_scale`` is the scale that ``size`` was rounded down from: samples then step by its
    inverse, so that up to one output pixel at the right and bottom goes missing (torch called with
    ``scale_factor`` and no ``size``). Without it the input's extent maps onto the output's.
    """
    rows = _along_first_axis(image, size[0], filter, legacy_scale)
    columns = _along_first_axis(_swapped(rows), size[1], filter, legacy_scale)
    return _swapped(columns)


def _swapped(image: FloatImage) -> FloatImage:
    return np.ascontiguousarray(image.swapaxes(0, 1))


def _along_first_axis(
    image: FloatImage, n_out: int, filter: Filter, legacy_scale: float | None
) -> FloatImage:
    n_in, other, channels = image.shape
    # Without legacy positions all three filters leave an axis of equal length as it is. With them,
    # torch copies such an axis for bilinear but samples it off-centre for bicubic.
    if n_in == n_out and (legacy_scale is None or filter != "bicubic"):
        return image
    weights = tap_matrix(n_in, n_out, filter, legacy_scale)
    resized: FloatImage = weights @ image.reshape(n_in, -1)
    return resized.reshape(n_out, other, channels)


def tap_matrix(
    n_in: int, n_out: int, filter: Filter, legacy_scale: float | None = None
) -> csr_array:
    """The n_out × n_in matrix of a filter along one axis, float32; each row sums to 1.

    ``legacy_scale`` as in :func:`resize`; ``area`` has no sample positions and ignores it.
    """
    if filter == "area":
        return _area_matrix(n_in, n_out)
    step = n_in / n_out if legacy_scale is None else 1 / legacy_scale
    position = step * (np.arange(n_out) + 0.5) - 0.5
    if filter == "bilinear":
        position = np.clip(position, 0, n_in - 1)
        offsets = np.arange(0, 2)
    else:
        offsets = np.arange(-1, 3)
    nearest = np.floor(position)
    distance = np.abs((position - nearest)[:, None] - offsets)
    taps = 1 - distance if filter == "bilinear" else _cubic(distance)
    indices = np.clip(nearest.astype(np.int64)[:, None] + offsets, 0, n_in - 1)
    bounds = np.arange(n_out + 1) * len(offsets)
    return _matrix(taps.ravel(), indices.ravel(), bounds, (n_out, n_in))


def _cubic(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' kernel at 0 <= distance <= 2."""
    d, a = distance, BICUBIC_A
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, inner, outer)


def _area_matrix(n_in: int, n_out: int) -> csr_array:
    """Output i is the mean of the inputs floor(i·n_in/n_out) … ceil((i+1)·n_in/n_out) - 1."""
    i = np.arange(n_out)
    start = i * n_in // n_out
    count = -(-(i + 1) * n_in // n_out) - start
    bounds = np.concatenate([[0], np.cumsum(count)])
    indices = np.arange(bounds[-1]) - np.repeat(bounds[:-1] - start, count)
    return _matrix(np.repeat(1 / count, count), indices, bounds, (n_out, n_in))


def _matrix(
    taps: npt.NDArray[np.float64],
    indices: npt.NDArray[np.int64],
    bounds: npt.NDArray[np.int64],
    shape: tuple[int, int],
) -> csr_array:
    return csr_array((taps.astype(np.float32), indices, bounds), shape=shape)
