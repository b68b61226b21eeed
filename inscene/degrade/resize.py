"""Resizing with the sample positions and weights of torch's ``interpolate``.

That is ``align_corners=False`` and no antialiasing: bilinear and bicubic (a = -0.75) look at 2 and
4 input pixels however far the image shrinks, and ``area`` is adaptive average pooling, which
OpenCV's INTER_AREA is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inscene.degrade.arrays import FloatImage
from inscene.degrade.compiled import compiled
from inscene.degrade.values import Filter

BICUBIC_A = -0.75


@dataclass(frozen=True)
class Taps:
    """Along one axis: output ``i`` is the sum of ``weights[i, t]`` · input ``start[i] + t``.

    All windows have the same length and lie inside the input; weights may be 0.
    """

    start: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Resampling:
    """From one size to another; the same for every channel."""

    rows: Taps
    columns: Taps

    def apply(self, image: FloatImage, resized: FloatImage) -> None:
        """Both channels × height × width, of the sizes that this is for."""
        rows, columns = self.rows, self.columns
        _resample(image, rows.start, rows.weights, columns.start, columns.weights, resized)


def resampling(
    from_size: tuple[int, int],
    size: tuple[int, int],
    filter: Filter,
    legacy_scale: float | None = None,
) -> Resampling | None:
    """How to resize; sizes are (height, width), each side at least 1. None where nothing changes.

    ``legacy_scale`` is the scale that ``size`` was rounded down from: samples then step by its
    inverse, so that up to one output pixel at the right and bottom goes missing (torch called with
    ``scale_factor`` and no ``size``). Without it the input's extent maps onto the output's.
    """
    # Without legacy positions all three filters leave an axis of equal length as it is. With them,
    # torch copies such an axis for bilinear but samples it off-centre for bicubic.
    if from_size == size and (legacy_scale is None or filter != "bicubic"):
        return None
    return Resampling(
        axis_taps(from_size[0], size[0], filter, legacy_scale),
        axis_taps(from_size[1], size[1], filter, legacy_scale),
    )


def resize(
    image: FloatImage, size: tuple[int, int], filter: Filter, legacy_scale: float | None = None
) -> FloatImage:
    """Resize channels × height × width as :func:`resampling` says. Bicubic overshoots 0..1. The
    image itself comes back where nothing changes."""
    how = resampling((image.shape[1], image.shape[2]), size, filter, legacy_scale)
    if how is None:
        return image
    resized: FloatImage = np.empty((len(image), *size), np.float32)
    how.apply(image, resized)
    return resized


def axis_taps(n_in: int, n_out: int, filter: Filter, legacy_scale: float | None = None) -> Taps:
    """The taps of a filter along one axis; their weights sum to 1.

    ``legacy_scale`` as in :func:`resampling`; ``area`` has no sample positions and ignores it.
    """
    if n_in == n_out and (legacy_scale is None or filter != "bicubic"):
        return Taps(np.arange(n_out), np.ones((n_out, 1), np.float32))
    if filter == "area":
        return _area_taps(n_in, n_out)
    step = n_in / n_out if legacy_scale is None else 1 / legacy_scale
    position = step * (np.arange(n_out) + 0.5) - 0.5
    if filter == "bilinear":
        position = np.clip(position, 0, n_in - 1)
        offsets = np.arange(0, 2)
    else:
        offsets = np.arange(-1, 3)
    nearest = np.floor(position)
    distance = np.abs((position - nearest)[:, None] - offsets)
    weights = 1 - distance if filter == "bilinear" else _cubic(distance)
    return _inside(nearest.astype(np.int64)[:, None] + offsets, weights, n_in)


def _inside(indices: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], n_in: int) -> Taps:
    """Windows that end at the border: what lay beyond counts for the outermost input."""
    count = min(indices.shape[1], n_in)
    start = np.clip(indices[:, 0], 0, n_in - count)
    places = np.clip(indices, 0, n_in - 1) - start[:, None]
    gathered = np.zeros((len(indices), count))
    np.add.at(gathered, (np.arange(len(indices))[:, None], places), weights)
    return Taps(start, gathered.astype(np.float32))


def _cubic(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' kernel at 0 <= distance <= 2."""
    d, a = distance, BICUBIC_A
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, inner, outer)


def _area_taps(n_in: int, n_out: int) -> Taps:
    """Output i is the mean of the inputs floor(i·n_in/n_out) … ceil((i+1)·n_in/n_out) - 1."""
    i = np.arange(n_out)
    first = i * n_in // n_out
    count = -(-(i + 1) * n_in // n_out) - first
    longest = int(count.max())
    start = np.minimum(first, n_in - longest)
    places = start[:, None] + np.arange(longest)
    within = (places >= first[:, None]) & (places < (first + count)[:, None])
    return Taps(start, np.where(within, 1 / count[:, None], 0).astype(np.float32))


@compiled
def _resample(
    image: FloatImage,
    row_start: npt.NDArray[np.int64],
    row_weights: npt.NDArray[np.float32],
    column_start: npt.NDArray[np.int64],
    column_weights: npt.NDArray[np.float32],
    resized: FloatImage,
) -> None:
    length, taps = image.shape[2], column_weights.shape[1]
    line = np.empty(length, np.float32)
    for channel in range(image.shape[0]):
        for y in range(resized.shape[1]):
            for t in range(row_weights.shape[1]):
                source, weight = image[channel, row_start[y] + t], row_weights[y, t]
                if t == 0:
                    for x in range(length):
                        line[x] = weight * source[x]
                else:
                    for x in range(length):
                        line[x] += weight * source[x]
            out = resized[channel, y]
            if taps == 4:  # written out: twice as fast as the loop over taps
                for x in range(len(out)):
                    s = column_start[x]
                    out[x] = (
                        column_weights[x, 0] * line[s]
                        + column_weights[x, 1] * line[s + 1]
                        + column_weights[x, 2] * line[s + 2]
                        + column_weights[x, 3] * line[s + 3]
                    )
            elif taps == 2:
                for x in range(len(out)):
                    s = column_start[x]
                    out[x] = column_weights[x, 0] * line[s] + column_weights[x, 1] * line[s + 1]
            else:
                for x in range(len(out)):
                    total = np.float32(0)
                    for t in range(taps):
                        total += column_weights[x, t] * line[column_start[x] + t]
                    out[x] = total
