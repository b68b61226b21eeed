"""From a degraded scene to a restored one, in one step of diffusion."""

from __future__ import annotations

from itertools import chain

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from inscene.face2scene import lora, tiles, vae_tiles
from inscene.face2scene.config import Face2SceneConfig, Tiling
from inscene.face2scene.guidance import guided
from inscene.face2scene.schedule import OneStep


class SceneRestorer(nn.Module):
    """VAE encoder, UNet, closed-form step, VAE decoder.

    Images are B×3×H×W in [-1, 1], their sides multiples of the VAE's and the UNet's halvings
    together (``pad_multiple_px``). A context is B×n×d: text and degradation tokens, see
    :func:`~inscene.face2scene.guidance.context`.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        unet: UNet2DConditionModel,
        one_step: OneStep,
        *,
        timestep: int,
        scaling_factor: float,
    ) -> None:
        super().__init__()
        self.vae, self.unet, self.one_step = vae, unet, one_step
        self.timestep, self.scaling_factor = timestep, scaling_factor

    @classmethod
    def of(
        cls, config: Face2SceneConfig, vae: AutoencoderKL, unet: UNet2DConditionModel
    ) -> SceneRestorer:
        return cls(
            vae,
            unet,
            OneStep.of(config),
            timestep=config.schedule.timestep,
            scaling_factor=config.scaling_factor,
        )

    def encode(
        self, images: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Scaled latents, B×4×H/8×W/8. A sample of their distribution where a generator is given,
        as in training [S3Diff, src/s3diff.py]; its mode where none is [chosen: the same image gives
        the same result]."""
        distribution = self.vae.encode(images).latent_dist
        latents: torch.Tensor = (
            distribution.mode() if generator is None else distribution.sample(generator)
        )
        return latents * self.scaling_factor

    def predict(self, latents: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """ε, of the latents' shape."""
        timestep = torch.full((), self.timestep, dtype=torch.long, device=latents.device)
        noise: torch.Tensor = self.unet(
            latents, timestep, encoder_hidden_states=context.to(latents), return_dict=False
        )[0]
        return noise

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Of scaled latents; not clamped."""
        images: torch.Tensor = self.vae.decode(latents / self.scaling_factor, return_dict=False)[0]
        return images

    def forward(
        self, lq: torch.Tensor, context: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Training: one context, no guidance, no tiles."""
        latents = self.encode(lq, generator)
        clean = self.one_step.x0(latents, self.predict(latents, context))
        return self.decode(clean).clamp(-1, 1)

    @torch.no_grad()
    def restore(
        self,
        lq: torch.Tensor,
        positive: torch.Tensor,
        negative: torch.Tensor | None = None,
        *,
        guidance_scale: float = 1.0,
        tiling: Tiling | None = None,
    ) -> torch.Tensor:
        """Inference: with guidance, tile by tile where the scene is larger than ``tiling``'s tiles;
        all tiles have the same context, which belongs to the scene as a whole. None: no tiles.
        The VAE is tiled only where memory is too small for the whole: it gives the same either way,
        but for rounding.

        Both contexts are seen in one batch. At a scale of 1 the negative one is not looked at.
        """
        if guidance_scale < 1:
            raise ValueError(f"guidance begins at 1, which is none; got {guidance_scale}")
        with_negative = guidance_scale > 1
        if with_negative and (negative is None or negative.shape != positive.shape):
            raise ValueError(
                f"guidance needs a negative context of {tuple(positive.shape)}, like the other; "
                f"got {None if negative is None else tuple(negative.shape)}"
            )

        def predict(window: torch.Tensor) -> torch.Tensor:
            if not with_negative:
                return self.predict(window, positive)
            assert negative is not None
            both = self.predict(torch.cat([window] * 2), torch.cat([negative, positive]))
            without, towards = both.chunk(2)
            return guided(without, towards, guidance_scale)

        if tiling is None:
            latents = self.encode(lq)
            return self.decode(self.one_step.x0(latents, predict(latents))).clamp(-1, 1)
        tile_vae = vae_tiles.needs_tiling(self.vae, lq.shape, lq.device)
        if tile_vae:
            mode = vae_tiles.encode(self.vae, lq, tiling.encoder_tile_px, tiling.encoder_pad_px)
            latents = mode * self.scaling_factor
        else:
            latents = self.encode(lq)
        noise = tiles.denoise_tiled(
            predict,
            latents,
            tiling.latent_tile,
            tiling.latent_overlap,
            tiling.gaussian_variance,
        )
        clean = self.one_step.x0(latents, noise)
        if not tile_vae:
            return self.decode(clean).clamp(-1, 1)
        unscaled = clean / self.scaling_factor
        decoded = vae_tiles.decode(self.vae, unscaled, tiling.decoder_tile, tiling.decoder_pad)
        return decoded.clamp(-1, 1)

    def trainable_parameters(self, config: Face2SceneConfig) -> list[nn.Parameter]:
        """What Stage II changes here: the adapters and, where ``train_conv_in``, the UNet's first
        convolution. Not the decoder or the two convolutions around the latents, since they say
        what latents mean: but in ``full`` training everything [chosen: a VAE that has learned for
        minutes is no authority: a small model with its decoder gained 0.22 dB over bicubic
        enlargement, without it 0.15], and in ``unet`` training the UNet alone."""
        if config.trainable != "lora":
            vae = self.vae.parameters() if config.trainable == "full" else ()
            return [*self.unet.parameters(), *vae]
        conv_in = self.unet.conv_in.parameters() if config.lora.train_conv_in else ()
        return list(chain(lora.parameters(self.unet), lora.parameters(self.vae), conv_in))

    def freeze(self, config: Face2SceneConfig) -> None:
        """Let gradients reach :meth:`trainable_parameters` only."""
        self.requires_grad_(False)
        for parameter in self.trainable_parameters(config):
            parameter.requires_grad_(True)

    def enable_gradient_checkpointing(self) -> None:
        """Less memory in training, for a third more time; it works in training mode only."""
        self.unet.enable_gradient_checkpointing()
        self.vae.enable_gradient_checkpointing()
