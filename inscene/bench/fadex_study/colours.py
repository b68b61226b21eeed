"""Colours of cosines: blue below 0, white at 0, red above, the same in every picture.

A scale that followed the values would show noise of a thousandth as a pattern.
"""

from __future__ import annotations

import bisect

RGB = tuple[int, int, int]

_STOPS: tuple[tuple[float, RGB], ...] = (
    (-1.0, (33, 102, 172)),
    (-0.5, (146, 197, 222)),
    (0.0, (247, 247, 247)),
    (0.5, (244, 165, 130)),
    (1.0, (178, 24, 43)),
)
"""Of ColorBrewer's RdBu, which people with a red-green weakness can read too."""


def colour_of(cosine: float) -> RGB:
    """``cosine`` is cut to [-1, 1]: of unit vectors it may exceed them by rounding."""
    value = min(max(cosine, -1.0), 1.0)
    place = min(bisect.bisect_right([at for at, _ in _STOPS], value), len(_STOPS) - 1)
    (low, before), (high, after) = _STOPS[place - 1], _STOPS[place]
    share = (value - low) / (high - low)
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(before, after, strict=True))
    return red, green, blue


def ink_on(fill: RGB) -> RGB:
    """Black or white, whichever is easier to read on it."""
    red, green, blue = fill
    return (20, 20, 20) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
