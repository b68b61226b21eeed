"""DiffAugment (Zhao et al. 2020): the discriminator sees restored and real images changed at
random, by operations that gradients pass through, so that it cannot learn real ones by heart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augment:
    """Every image of B×C×H×W in [-1, 1] in a way of its own, drawn from ``rng``, wherever that is:
    with one on the CPU the draws are the same on every device.

    The values are DiffAugment's, which vision-aided GAN and S3Diff use [VA cvmodel.py]. Colours may
    leave [-1, 1], as there.
    """

    brightness: float = 0.5
    """Added to an image: a number within ± this."""
    saturation: float = 1.0
    """Distance from grey is multiplied by 1 ± this."""
    contrast: float = 0.5
    """Distance from the mean is multiplied by 1 ± this."""
    translation: float = 1 / 8
    """Largest shift, of the side; grey (0) comes in."""
    cutout: float = 1 / 2
    """Side of the grey square, of the image's side. Its middle is anywhere in the image, so that
    it may hang over."""

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        return self._cut(self._shift(self._recolour(images, rng), rng), rng)

    def _recolour(self, images: Tensor, rng: torch.Generator) -> Tensor:
        def around(middle: float, spread: float) -> Tensor:
            draws = torch.rand((len(images), 1, 1, 1), generator=rng, device=rng.device)
            return (middle + (2 * draws - 1) * spread).to(images)

        images = images + around(0, self.brightness)
        grey = images.mean(1, keepdim=True)
        images = grey + (images - grey) * around(1, self.saturation)
        mean = images.mean((1, 2, 3), keepdim=True)
        return mean + (images - mean) * around(1, self.contrast)

    def _shift(self, images: Tensor, rng: torch.Generator) -> Tensor:
        height, width = images.shape[-2:]
        downs = _integers(-_round(height * self.translation), len(images), rng)
        rights = _integers(-_round(width * self.translation), len(images), rng)
        # Negative padding crops. One by one: a gather's gradient is not deterministic on GPUs.
        shifted = [
            functional.pad(image, (right, -right, down, -down))
            for image, right, down in zip(images, rights, downs, strict=True)
        ]
        return torch.stack(shifted)

    def _cut(self, images: Tensor, rng: torch.Generator) -> Tensor:
        inside = [
            self._band(size, len(images), rng).to(images.device) for size in images.shape[-2:]
        ]
        hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return images.masked_fill(hole, 0)

    def _band(self, size: int, count: int, rng: torch.Generator) -> Tensor:
        """B×size: which rows, or columns, the square covers."""
        side = _round(size * self.cutout)
        if side == 0:
            return torch.zeros((count, size), dtype=torch.bool)
        # An even square has its middle between two rows, of which there is one more.
        middles = size + 1 - side % 2
        starts = torch.randint(middles, (count, 1), generator=rng, device=rng.device) - side // 2
        rows = torch.arange(size, device=rng.device)
        return (rows >= starts) & (rows < starts + side)


def _integers(low: int, count: int, rng: torch.Generator) -> list[int]:
    """Of low..-low, both included."""
    draws = torch.randint(low, 1 - low, (count,), generator=rng, device=rng.device)
    return [int(draw) for draw in draws.tolist()]


def _round(number: float) -> int:
    return int(number + 0.5)
