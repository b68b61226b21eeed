"""A VAE of random weights becomes an autoencoder, before the restorer is trained on its latents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.optim import Adam

from inscene.face2scene import lora, ranks
from inscene.face2scene.negatives import Rng
from inscene.face2scene.updates import Scalars, Update
from inscene.training.rates import half_cosine
from inscene.training.restorer.recipe import PretrainVae


class VaeTraining:
    """The step, without a loop, data or files: mean squared error of the images and, with a small
    weight, the divergence of the latents from a normal distribution."""

    def __init__(self, vae: AutoencoderKL, settings: PretrainVae) -> None:
        """Adapters that the VAE may have do nothing yet, and are left alone."""
        self.vae, self.settings = vae, settings
        adapters = {id(one) for one in lora.parameters(vae)}
        self.parameters: list[nn.Parameter] = []
        for one in vae.parameters():
            one.requires_grad_(id(one) not in adapters)
            if one.requires_grad:
                self.parameters.append(one)
        self.optimiser = Adam(self.parameters, lr=settings.learning_rate)

    def step(self, batches: Sequence[Tensor], rng: Rng, step: int = 0) -> Scalars:
        """``batches``: micro-batches B×3×H×W in [-1, 1]; ``step``, from 0, decides the learning
        rate. Returns ``vae_pixel`` and ``vae_kl``,
        means over images, and ``vae_gradient``. Raises ``NonFiniteLossError``, with nothing
        changed."""
        self.vae.train()
        chosen = self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = chosen.learning_rate * half_cosine(
                step, chosen.steps or 1, chosen.final_rate
            )
        update, total = Update(self.optimiser), ranks.mean_count(sum(map(len, batches)))
        for index, images in enumerate(batches):
            draws = rng if isinstance(rng, torch.Generator) else rng[index]
            distribution = self.vae.encode(images).latent_dist
            decoded = self.vae.decode(distribution.sample(draws), return_dict=False)[0]
            pixel = (decoded - images).square().mean((1, 2, 3)).sum() / total
            mean, log_variance = distribution.mean, distribution.logvar
            apart = mean.square() + log_variance.exp() - 1 - log_variance
            divergence = 0.5 * apart.mean((1, 2, 3)).sum() / total
            loss = pixel + chosen.kl * divergence
            update.add(loss, vae_pixel=pixel, vae_kl=divergence)
        return update.apply(chosen.clip_norm, "vae_gradient")


@torch.no_grad()
def scaling_factor(vae: AutoencoderKL, batches: Iterable[Tensor]) -> float:
    """1 / the standard deviation of the latents' means, over all that the images give: what brings
    latents to the size that the UNet is made for. Leaves the VAE in evaluation mode."""
    vae.eval()
    count, total, squares = 0, 0.0, 0.0
    for images in batches:
        latents = vae.encode(images).latent_dist.mode().double()
        count += latents.numel()
        total += latents.sum().item()
        squares += latents.square().sum().item()
    variance = squares / count - (total / count) ** 2
    return 1 / math.sqrt(max(variance, 1e-12))


@torch.no_grad()
def reconstructed(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """B×3×H×W in [-1, 1] -> what the VAE makes of them, clamped. Leaves it in evaluation mode."""
    vae.eval()
    decoded: Tensor = vae.decode(vae.encode(images).latent_dist.mode(), return_dict=False)[0]
    return decoded.clamp(-1, 1)
