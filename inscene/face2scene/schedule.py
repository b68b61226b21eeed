"""One step of diffusion, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from inscene.face2scene.config import Face2SceneConfig


@dataclass(frozen=True)
class OneStep:
    """From latents and the noise that the UNet sees in them to clean latents.

    What a scheduler's step gives when it is the only one, nothing is clipped and no noise is
    added: ``x0 = (z − √(1−ᾱ) ε) / √ᾱ``.
    """

    alpha_bar: float
    """Product of 1 − β up to the step, in (0, 1)."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha_bar < 1:
            raise ValueError(f"alpha_bar must be between 0 and 1, got {self.alpha_bar}")

    @classmethod
    def of(cls, config: Face2SceneConfig) -> OneStep:
        return cls(config.alpha_bar)

    @property
    def latent_gain(self) -> float:
        """1/√ᾱ: 14.6488 at step 999 of SD-Turbo's betas."""
        return 1 / math.sqrt(self.alpha_bar)

    @property
    def noise_gain(self) -> float:
        """√(1−ᾱ)/√ᾱ: 14.6146 there. So much larger is an error of ε in the clean latents."""
        return math.sqrt(1 - self.alpha_bar) / math.sqrt(self.alpha_bar)

    def x0(self, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Clean latents of the same shape and type as ``latents``.

        Computed in float32: the two terms nearly cancel, and in bfloat16 the difference of numbers
        near 15 would have errors of 0.06.
        """
        clean = self.latent_gain * latents.float() - self.noise_gain * noise.float()
        return clean.to(latents.dtype)
