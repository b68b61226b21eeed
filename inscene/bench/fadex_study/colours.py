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
    """Black or white, whichever has more contrast on it."""
    return max(_INKS, key=lambda ink: contrast(ink, fill))


def contrast(one: RGB, other: RGB) -> float:
    """Ratio of their luminances as WCAG defines it, 1..21; 4.5 is its least for texts."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: RGB) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (level / 255 for level in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


_INKS: tuple[RGB, RGB] = ((0, 0, 0), (255, 255, 255))
