"""The frozen eyes of the discriminator: two grids of features and a vector.

DINO (Caron et al. 2021), or random features where nothing can be downloaded.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from inscene.errors import MachineError
from inscene.face2scene.frozen import Frozen
from inscene.face2scene.random_features import RandomFeatures
from inscene.weights import find_file
from inscene.weights.model_files import not_a_model
from inscene.weights.pickles import load_pickle

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.229, 0.224, 0.225)
"""[VA cvmodel.py] The mean is CLIP's and the deviation ImageNet's; DINO was trained with ImageNet's
mean (0.485, 0.456, 0.406). Kept, since S3Diff's discriminator sees its images so."""
DINO = "the image encoder DINO ViT-B/16"


class Levels(NamedTuple):
    """What is seen of a batch."""

    early: Tensor
    """B×channels[0]×h×w"""
    late: Tensor
    """B×channels[1]×h×w"""
    whole: Tensor
    """B×channels[2]"""


class Backbone(Frozen):
    """Looks at square images of ``side_px``, in [-1, 1]."""

    side_px: int
    channels: tuple[int, int, int]
    """Of the three levels."""

    @abstractmethod
    def look(self, images: Tensor) -> Levels:
        """``images`` are B×3×side_px×side_px, less :data:`MEAN` and in units of :data:`STD`."""

    def forward(self, images: Tensor) -> Levels:
        """Images of B×3×H×W in [-1, 1] are brought to ``side_px`` by averaging areas; sides do not
        keep their ratio [VA cvmodel.py]."""
        side = (self.side_px, self.side_px)
        dtype = next(self.parameters()).dtype
        images = functional.interpolate(images.to(dtype) * 0.5 + 0.5, size=side, mode="area")
        mean, std = (images.new_tensor(one).view(1, 3, 1, 1) for one in (MEAN, STD))
        return self.look((images - mean) / std)


class RandomBackbone(Backbone):
    """Random features, with the mean of the last level as the vector."""

    def __init__(self, seed: int = 1, side_px: int = 64) -> None:
        """``side_px`` [chosen]: small models are trained on images of 64 px."""
        super().__init__()
        self.side_px = side_px
        self.random_features = RandomFeatures(seed)
        early, late, whole = self.random_features.channels
        self.channels = (early, late, whole)

    def look(self, images: Tensor) -> Levels:
        early, late, last = self.random_features(images)
        return Levels(early, late, last.mean((2, 3)))


class Dino(Backbone):
    """Patches after blocks 5 and 9, 768×14×14 each, and the class token after block 12, 768; the
    last normalisation is applied to each [VA cvmodel.py: 8 last blocks, of which the first, the
    fifth and the last]."""

    side_px = 224
    channels = (768, 768, 768)
    blocks = (5, 9, 12)
    """Counted from 1."""

    def __init__(self, network: Any) -> None:
        """``network``: timm's vision transformer."""
        super().__init__()
        self.network = network
        self.freeze()

    @classmethod
    def load(cls, path: Path | None = None) -> Dino:
        """From the file as its authors publish it, on the CPU in float32; None takes the verified
        one of ``dino-vitb16``.

        Raises ``MissingWeightError``, and ``MachineError`` without timm or for a file that is not
        this model.
        """
        try:
            import timm
        except ImportError as error:
            raise MachineError(
                "the discriminator needs timm", why=f"{error}.", next_step="Run: pip install timm"
            ) from error
        path = find_file("dino-vitb16") if path is None else path
        state = load_pickle(path, DINO)
        with torch.device("meta"):  # else 86 million random numbers are drawn and thrown away
            network = timm.create_model(
                "vit_base_patch16_224.dino", pretrained=False, num_classes=0
            )
        try:
            network.load_state_dict(state, strict=True, assign=True)
        except (AttributeError, RuntimeError, TypeError) as error:  # other names, other shapes
            raise not_a_model(path, DINO, f"{str(error).splitlines()[0]}.") from error
        return cls(network)

    def look(self, images: Tensor) -> Levels:
        early, late, last = self.network.forward_intermediates(
            images,
            indices=[block - 1 for block in self.blocks],
            return_prefix_tokens=True,
            norm=True,
            output_fmt="NCHW",
            intermediates_only=True,
        )
        (early, _), (late, _), (_, tokens) = early, late, last
        return Levels(early, late, tokens[:, 0])
