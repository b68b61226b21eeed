"""How different two pictures look: the second loss of Stage II.

LPIPS 0.1 (Zhang et al. 2018) on VGG-16 [paper: LPIPS; the trunk from S3Diff train_s3diff.py],
written here because pyiqa's own is not for commercial use; both give the same numbers.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inscene.errors import MachineError
from inscene.face2scene.frozen import Frozen
from inscene.face2scene.random_features import RandomFeatures
from inscene.weights import find_file
from inscene.weights.model_files import not_a_model
from inscene.weights.pickles import load_pickle

MEAN = (-0.030, -0.088, -0.188)
STD = (0.458, 0.448, 0.450)
"""LPIPS' own normalisation, of values in [-1, 1]."""
VGG_LEVELS = (3, 8, 15, 22, 29)
"""Of torchvision's ``features``, the last ReLU before each pooling, and that before the last."""
VGG_CHANNELS = (64, 128, 256, 512, 512)
EPSILON = 1e-10


class Perceptual(Frozen):
    """Two batches B×3×H×W in [-1, 1] -> B, float32: 0 for equal images. Gradients reach both."""

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        found, wanted = self.levels(images), self.levels(targets)
        distances = [
            self.weigh(level, (_unit(one) - _unit(other)).square()).mean((1, 2, 3))
            for level, (one, other) in enumerate(zip(found, wanted, strict=True))
        ]
        return torch.stack(distances).sum(0)

    @abstractmethod
    def levels(self, images: Tensor) -> list[Tensor]:
        """Features, each B×C×h×w."""

    @abstractmethod
    def weigh(self, level: int, differences: Tensor) -> Tensor:
        """B×C×h×w, float32 -> B×1×h×w."""


class RandomPerceptual(Perceptual):
    """On random features, with all channels weighing the same: for small models only."""

    def __init__(self, seed: int = 2) -> None:
        super().__init__()
        self.random_features = RandomFeatures(seed)

    def levels(self, images: Tensor) -> list[Tensor]:
        dtype = next(self.parameters()).dtype
        levels: list[Tensor] = self.random_features(images.to(dtype))
        return levels

    def weigh(self, level: int, differences: Tensor) -> Tensor:
        return differences.sum(1, keepdim=True)


class LpipsVgg(Perceptual):
    """LPIPS 0.1 on VGG-16. Sides of at least 16 px."""

    def __init__(self, features: nn.Sequential, weights: list[Tensor]) -> None:
        """``features``: VGG-16's layers up to its last ReLU. ``weights``: one 1×C×1×1 a level."""
        super().__init__()
        self.features = features
        self.weights = nn.ParameterList(weights)
        self.freeze()

    @classmethod
    def load(cls, weights: Path | None = None, trunk: Path | None = None) -> LpipsVgg:
        """From the files of ``lpips-vgg`` and torchvision's ``vgg16-imagenet``, on the CPU in
        float32; None takes the verified ones.

        Raises ``MissingWeightError``, and ``MachineError`` without torchvision or for files that
        are not these.
        """
        try:
            from torchvision.models import vgg16
        except ImportError as error:
            raise MachineError(
                "the perceptual loss needs torchvision",
                why=f"{error}.",
                next_step="Run: pip install torchvision",
            ) from error
        weights = find_file("lpips-vgg") if weights is None else weights
        trunk = find_file("vgg16-imagenet") if trunk is None else trunk
        with torch.device("meta"):
            network = vgg16(weights=None)
        return cls(_trunk(network, trunk), _linear(weights))

    def levels(self, images: Tensor) -> list[Tensor]:
        images = images.to(next(self.features.parameters()).dtype)
        mean, std = (images.new_tensor(one).view(1, 3, 1, 1) for one in (MEAN, STD))
        images = (images - mean) / std
        levels = []
        for index, layer in enumerate(self.features):
            images = layer(images)
            if index in VGG_LEVELS:
                levels.append(images)
        return levels

    def weigh(self, level: int, differences: Tensor) -> Tensor:
        weights: Tensor = self.weights[level].float()
        return (differences * weights).sum(1, keepdim=True)


def _unit(features: Tensor) -> Tensor:
    """Of length 1 in each place, float32."""
    features = features.float()
    # Unlike the root of a sum of squares, this has a gradient where all features are 0.
    lengths: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (lengths + EPSILON)


def _trunk(network: Any, path: Path) -> nn.Sequential:
    what = "torchvision's VGG-16"
    state = load_pickle(path, what)
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise not_a_model(path, what, f"{str(error).splitlines()[0]}.") from error
    layers: list[nn.Module] = list(network.features)[: VGG_LEVELS[-1] + 1]
    return nn.Sequential(*layers)


def _linear(path: Path) -> list[Tensor]:
    what = "the weights of LPIPS 0.1 on VGG-16"
    state = load_pickle(path, what)
    if not isinstance(state, dict):
        raise not_a_model(path, what, f"It holds a {type(state).__name__}.")
    wanted = {
        f"lin{level}.model.1.weight": (1, channels, 1, 1)
        for level, channels in enumerate(VGG_CHANNELS)
    }
    shapes = {name: tuple(getattr(one, "shape", ())) for name, one in state.items()}
    if shapes != wanted:
        raise not_a_model(path, what, f"It holds {shapes}, not {wanted}.")
    return [state[name] for name in wanted]
