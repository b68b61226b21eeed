"""A face as it is in the scene beside its restored self, and windows of it without resampling.

Resizing would change the noise and the blur that FaDeX is to read, so that faces of any size are
only cropped, or continued by their mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False, slots=True)
class FacePair:
    """Two views of one place of the scene, 3 × H × W of one size, in [-1, 1]."""

    lq: Tensor
    """Cropped from the scene, never resampled."""
    hq: Tensor
    """Restored, in the scene's coordinates."""

    def __post_init__(self) -> None:
        if self.lq.shape != self.hq.shape or self.lq.ndim != 3 or 0 in self.lq.shape:
            raise ValueError(
                f"lq and hq must be 3×H×W of one size, got {tuple(self.lq.shape)} and "
                f"{tuple(self.hq.shape)}"
            )

    @property
    def height(self) -> int:
        """px"""
        return self.lq.shape[-2]

    @property
    def width(self) -> int:
        """px"""
        return self.lq.shape[-1]

    def window(self, top: int, left: int, height: int, width: int) -> FacePair:
        """A part of the plane that the pair fills with its mirror images, edge pixels not doubled.
        It may begin before the pair, end after it and be larger by any factor."""
        return FacePair(
            _window(self.lq, top, left, height, width), _window(self.hq, top, left, height, width)
        )


def fitted(pair: FacePair, min_side: int, max_side: int) -> FacePair:
    """The pair with both sides in [min_side, max_side] px, its middle staying in the middle: short
    sides are continued by reflection, of long ones the ends are cut. An odd pixel goes to, or is
    taken from, the end."""
    if not 1 <= min_side <= max_side:
        raise ValueError(f"1 <= min_side <= max_side is needed, got {min_side} and {max_side}")
    height, width = (min(max(side, min_side), max_side) for side in (pair.height, pair.width))
    if (height, width) == (pair.height, pair.width):
        return pair
    return pair.window(centred(pair.height, height), centred(pair.width, width), height, width)


def centred(length: int, window: int) -> int:
    """Where a window of ``window`` px begins that shares its middle with ``length`` px."""
    return int((length - window) / 2)  # towards zero, where // would go down


def _window(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    rows = _mirrored(image.shape[-2], top, height, image.device)
    columns = _mirrored(image.shape[-1], left, width, image.device)
    return image.index_select(-2, rows).index_select(-1, columns)


def _mirrored(length: int, start: int, count: int, device: torch.device) -> Tensor:
    """Indices into 0 … length-1 of ``count`` places from ``start`` on, to and fro."""
    last = length - 1
    places = torch.arange(start, start + count, device=device)
    # A triangular wave; of a single pixel, that pixel.
    return last - (places % max(1, 2 * last) - last).abs()
