"""From face pairs of any size to the tokens that tell the UNet how the scene was degraded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inscene.face2scene.config import Faces
from inscene.face2scene.face_pair import FacePair, fitted
from inscene.face2scene.fadex import DegradationCode, FaDeX
from inscene.face2scene.mapnet import MapNet


def degradation_tokens(
    fadex: FaDeX, mapnet: MapNet, pairs: Sequence[FacePair], faces: Faces, max_side_px: int
) -> Tensor:
    """B pairs to B × tokens × token_dim, of MapNet's device and dtype.

    One pair after the other, since sizes differ and padding to one size would enter the code.
    Gradients are the caller's: what he froze stays so. ``max_side_px``: ``faces.max_side_px``, or
    ``faces.train_max_side_px`` in training.

    ValueError: no pair; FaDeX in training mode, where its batch norm would take one face's
    statistics and forget those that it was trained with; a face too small for MapNet's grid.
    """
    if not pairs:
        raise ValueError("no face pair, no tokens; a scene without a face has only those of text")
    if fadex.training:
        raise ValueError("FaDeX is in training mode: call fadex.eval() first")
    tokens = []
    for pair in pairs:
        face = fitted(pair, faces.min_side_px, max_side_px)
        hq, lq = (image[None].to(fadex.device, fadex.dtype) for image in (face.hq, face.lq))
        code: DegradationCode = fadex(hq, lq)
        tokens.append(mapnet(code.features.to(mapnet.device, mapnet.dtype)))
    return torch.cat(tokens)
