"""What is trained of the discriminator: small heads on frozen features."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from inscene.face2scene.discriminator.blur import Blur

HIDDEN = 128
NEGATIVE_SLOPE = 0.2


class GridHead(nn.Module):
    """B×C×h×w -> logits B×h'×w': 14×14 becomes 3×3.

    [VA cv_discriminator.py, ``down=2``]: blurred and thinned out twice.
    """

    def __init__(
        self, channels: int, hidden: int = HIDDEN, negative_slope: float = NEGATIVE_SLOPE
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Blur(pad=2),
            spectral_norm(nn.Conv2d(channels, hidden, 3, stride=2)),
            nn.LeakyReLU(negative_slope),
            Blur(pad=1),
            spectral_norm(nn.Conv2d(hidden, 1, 1, stride=2)),
        )

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(features)
        return logits.squeeze(1)


class VectorHead(nn.Module):
    """B×C -> logits B×1."""

    def __init__(
        self, channels: int, hidden: int = HIDDEN, negative_slope: float = NEGATIVE_SLOPE
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Linear(channels, hidden)),
            nn.LeakyReLU(negative_slope),
            spectral_norm(nn.Linear(hidden, 1)),
        )

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(features)
        return logits
