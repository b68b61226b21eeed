"""DISTS (Ding et al. 2020), as pyiqa 0.1.16 defines it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inscene.quality.learned import Learned
from inscene.quality.networks import Files, options_of, replaced

if TYPE_CHECKING:
    from torch import Tensor

_EPS = 1e-6
"""In both of its ratios."""


@dataclass(frozen=True)
class _Level:
    """Feature maps of one depth, with their means and variances over the image."""

    maps: Tensor
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> _Level:
        mean = maps.mean((2, 3), keepdim=True)
        return cls(maps, mean, (maps - mean).square().mean((2, 3), keepdim=True))


class Dists(Learned):
    key = "dists"

    def _build(self, files: Files) -> Any:
        from pyiqa.archs import dists_arch

        with replaced(
            dists_arch, load_pretrained_network=files.load_into, models=files.torchvision()
        ):
            return dists_arch.DISTS(**options_of("dists"))

    def _ready(self) -> None:
        network = self._network
        total = network.alpha.sum() + network.beta.sum()
        self._texture_weights = (network.alpha / total).split(network.chns, dim=1)
        self._structure_weights = (network.beta / total).split(network.chns, dim=1)

    def prepare(self, references: Tensor) -> list[_Level]:
        return [_Level.of(maps) for maps in self._network.forward_once(references)]

    def _measure(self, images: Tensor, prepared: list[_Level]) -> Tensor:
        similarity: Any = 0
        for maps, y, texture_weight, structure_weight in zip(
            self._network.forward_once(images),
            prepared,
            self._texture_weights,
            self._structure_weights,
            strict=True,
        ):
            x = _Level.of(maps)
            covariance = (x.maps * y.maps).mean((2, 3), keepdim=True) - x.mean * y.mean
            texture = (2 * x.mean * y.mean + _EPS) / (x.mean**2 + y.mean**2 + _EPS)
            structure = (2 * covariance + _EPS) / (x.variance + y.variance + _EPS)
            similarity = similarity + (texture_weight * texture).sum((1, 2, 3))
            similarity = similarity + (structure_weight * structure).sum((1, 2, 3))
        distance: Tensor = 1 - similarity
        return distance
