"""Random views of a face pair for contrastive learning, in which every pixel is one of the pair's.

Nothing is interpolated: a resized or slightly turned view would have another noise and another blur
than its label says.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from inscene.face2scene.face_pair import FacePair, centred

VIEW_SIDE_PX = 128
"""[chosen] A quarter of the aligned face's side: large enough for grain and JPEG's blocks, and a
batch of 20 needs little memory."""


def view(pair: FacePair, side_px: int, rng: np.random.Generator | torch.Generator) -> FacePair:
    """A square of ``side_px`` at a random place, mirrored or not, turned by 0, 90, 180 or 270°; the
    same for both images. Along a side that is shorter the whole face is taken, in the middle,
    continued by reflection."""
    if side_px < 1:
        raise ValueError(f"side_px must be at least 1, got {side_px}")
    top = _start(pair.height, side_px, rng)
    left = _start(pair.width, side_px, rng)
    cut = pair.window(top, left, side_px, side_px)
    flip, turns = _below(2, rng) == 1, _below(4, rng)
    return FacePair(lq=_moved(cut.lq, flip, turns), hq=_moved(cut.hq, flip, turns))


def _start(length: int, side: int, rng: np.random.Generator | torch.Generator) -> int:
    return _below(length - side + 1, rng) if length > side else centred(length, side)


def _moved(image: Tensor, flip: bool, turns: int) -> Tensor:
    return torch.rot90(image.flip(-1) if flip else image, turns, dims=(-2, -1)).contiguous()


def _below(bound: int, rng: np.random.Generator | torch.Generator) -> int:
    if isinstance(rng, torch.Generator):
        return int(torch.randint(bound, (), generator=rng, device=rng.device))
    return int(rng.integers(bound))
