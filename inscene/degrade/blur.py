"""Correlation of an image with a kernel, given as passes."""

from __future__ import annotations

import numpy as np

from inscene.degrade.arrays import FloatImage
from inscene.degrade.borders import reflected
from inscene.degrade.compiled import compiled
from inscene.degrade.passes import BLOCK, Passes, Weights

Line = FloatImage


def blur(image: FloatImage, passes: Passes) -> FloatImage:
    """The image (3 × height × width) correlated with the kernel; the border is reflected without
    its outermost pixel (repeated where a side is a single pixel)."""
    blurred: FloatImage = np.empty_like(image)
    if passes.separable:
        _separable(image, passes.columns, passes.rows, passes.width, blurred)
    else:
        _square(image, passes.rows, passes.width, blurred)
    return blurred


@compiled
def _separable(
    image: FloatImage, columns: Weights, rows: Weights, width: int, blurred: FloatImage
) -> None:
    length, reach = image.shape[2], width // 2
    padded = np.zeros(length + rows.shape[1] + BLOCK, np.float32)
    inner = padded[reach : reach + length]
    for channel in range(image.shape[0]):
        for y in range(image.shape[1]):
            for r in range(len(columns)):
                weigh_rows(image[channel], y, columns[r], 0, inner)
                fill_beyond(padded, 0, length, reach, length)
                weigh_shifted(padded, rows[r], r == 0, blurred[channel, y])


@compiled
def _square(image: FloatImage, rows: Weights, width: int, blurred: FloatImage) -> None:
    height, length, reach = image.shape[1], image.shape[2], width // 2
    padded = np.zeros((height, length + rows.shape[1] + BLOCK), np.float32)
    for channel in range(image.shape[0]):
        for y in range(height):
            padded[y, reach : reach + length] = image[channel, y]
            fill_beyond(padded[y], 0, length, reach, length)
        for y in range(height):
            for r in range(len(rows)):
                source = padded[reflected(y + r - len(rows) // 2, height)]
                weigh_shifted(source, rows[r], r == 0, blurred[channel, y])


@compiled
def weigh_rows(plane: Line, y: int, weights: Weights, left: int, line: Line) -> None:
    """``line`` becomes the sum of weighted rows about ``y``, from column ``left`` on.

    Four rows at a time: the running sum then goes to memory and back a quarter as often.
    """
    height, length, taps = plane.shape[0], len(line), len(weights)
    top = y - taps // 2
    for t in range(0, taps - taps % 4, 4):
        a = plane[reflected(top + t, height), left : left + length]
        b = plane[reflected(top + t + 1, height), left : left + length]
        c = plane[reflected(top + t + 2, height), left : left + length]
        d = plane[reflected(top + t + 3, height), left : left + length]
        wa, wb, wc, wd = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
        if t == 0:
            for x in range(length):
                line[x] = wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x]
        else:
            for x in range(length):
                line[x] += wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x]
    for t in range(taps - taps % 4, taps):
        a = plane[reflected(top + t, height), left : left + length]
        wa = weights[t]
        if t == 0:
            for x in range(length):
                line[x] = wa * a[x]
        else:
            for x in range(length):
                line[x] += wa * a[x]


@compiled
def fill_beyond(padded: Line, left: int, end: int, reach: int, whole: int) -> None:
    """Complete a line that holds columns ``left - reach`` to ``end + reach`` of an image ``whole``
    columns wide: those beyond its borders become the reflected ones."""
    origin = left - reach
    for column in range(origin, 0):
        padded[column - origin] = padded[reflected(column, whole) - origin]
    for column in range(whole, end + reach):
        padded[column - origin] = padded[reflected(column, whole) - origin]


@compiled
def weigh_shifted(padded: Line, weights: Weights, first: bool, line: Line) -> None:
    """Correlate ``padded`` with a row of weights; ``line`` becomes the result, or is added to."""
    length = len(line)
    for t in range(0, len(weights), 4):
        a, b = padded[t : t + length], padded[t + 1 : t + 1 + length]
        c, d = padded[t + 2 : t + 2 + length], padded[t + 3 : t + 3 + length]
        wa, wb, wc, wd = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
        if first and t == 0:
            for x in range(length):
                line[x] = wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x]
        else:
            for x in range(length):
                line[x] += wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x]
