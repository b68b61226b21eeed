"""Sizes: resizing, and padding to what the networks divide by."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

Size = tuple[int, int]
"""Height and width."""


def resized(
    images: Tensor, size: Size, mode: Literal["bilinear", "bicubic"] = "bilinear"
) -> Tensor:
    """B×C×H×W to B×C×size; pixels are areas (``align_corners=False``, S3Diff PR #18), and what
    shrinks is smoothed first.

    ``bicubic`` overshoots: its caller clamps. It is also not one kernel in torch, which takes
    a = -0.5 where it smooths and -0.75 where it does not. Calculated in float32, since the CPU has
    no smoothing resize in half precision.
    """
    height, width = images.shape[-2:]
    if (height, width) == tuple(size):
        return images
    shrinks = size[0] < height or size[1] < width
    result = functional.interpolate(
        images.float(), size=size, mode=mode, align_corners=False, antialias=shrinks
    )
    return result.to(images.dtype)


def pad(images: Tensor, multiple: int) -> tuple[Tensor, Size]:
    """B×C×H×W with both sides a multiple, and the size it had.

    The right and the bottom are reflected. [chosen] An axis that is no longer than its padding has
    its last line repeated: there is nothing to reflect, and torch raises.
    """
    height, width = images.shape[-2:]
    right, bottom = -width % multiple, -height % multiple
    if right:
        images = functional.pad(images, (0, right, 0, 0), _mode(right, width))
    if bottom:
        images = functional.pad(images, (0, 0, 0, bottom), _mode(bottom, height))
    return images, (height, width)


def crop(images: Tensor, size: Size) -> Tensor:
    """What ``pad`` added is gone: the left upper ``size`` of B×C×H×W, a view."""
    height, width = size
    return images[..., :height, :width]


def _mode(added: int, side: int) -> str:
    return "reflect" if added < side else "replicate"
