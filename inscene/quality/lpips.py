"""LPIPS 0.1 (Zhang et al. 2018), as pyiqa 0.1.16 defines it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from inscene.quality.learned import Learned
from inscene.quality.networks import Files, options_of, replaced

if TYPE_CHECKING:
    from torch import Tensor


class Lpips(Learned):
    """On AlexNet (``lpips``)."""

    key = "lpips"
    _pyiqa_name: ClassVar[str] = "lpips"

    def _build(self, files: Files) -> Any:
        from pyiqa.archs import lpips_arch

        with replaced(
            lpips_arch, load_pretrained_network=files.load_into, models=files.torchvision()
        ):
            return lpips_arch.LPIPS(**options_of(self._pyiqa_name))

    def prepare(self, references: Tensor) -> list[Tensor]:
        return self._features(references)

    def _features(self, images: Tensor) -> list[Tensor]:
        """Of each level, unit vectors in each place."""
        from pyiqa.archs.lpips_arch import normalize_tensor

        levels = self._network.net(self._network.scaling_layer(2 * images - 1))
        return [normalize_tensor(level) for level in levels]

    def _measure(self, images: Tensor, prepared: list[Tensor]) -> Tensor:
        import torch

        levels = zip(self._network.lins, self._features(images), prepared, strict=True)
        means = [
            weigh((found - wanted).square()).mean((1, 2, 3)) for weigh, found, wanted in levels
        ]
        return torch.stack(means).sum(0)


class LpipsVgg(Lpips):
    """On VGG-16 (``lpips-vgg``)."""

    key = "lpips_vgg"
    _pyiqa_name = "lpips-vgg"
