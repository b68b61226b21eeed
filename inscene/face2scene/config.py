"""What a Face2Scene model is, beside its weights: the content of ``face2scene.json``.

Where a docstring says [paper], the value is in the paper's text; with a code base's name it was
read in that code; [chosen] marks what the paper lost, with the reason for the choice.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT_VERSION: Literal[1] = 1

FamilyName = Literal["sd-turbo", "small", "tiny"]
ColourFix = Literal["wavelet", "adain", "none"]
Trainable = Literal["lora", "unet", "full"]
Enlarge = Literal["bilinear", "bicubic"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseModels(Section):
    """Where the VAE and the UNet come from that a checkpoint only adds to."""

    weight: str = "sd-turbo"
    """Name in ``manifests/weights.yaml``; None of its files is part of a checkpoint."""
    repo: str = "stabilityai/sd-turbo"
    """[paper] SD-Turbo."""
    revision: str | None = None
    """Of the repository, where known."""
    licence: str = "Stability Community"


class Schedule(Section):
    """The one step of diffusion. Prediction is ε, samples are never clipped."""

    timestep: Annotated[int, Field(ge=0)] = 999
    """[paper: one step of SD-Turbo] the last of 1,000. [chosen] 249 for families that begin from
    random weights: at 999 an error of ε reaches the image 14.6 times as large."""
    train_timesteps: Annotated[int, Field(ge=1)] = 1000
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 0.00085
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.012
    """With ``beta_start`` the scaled-linear betas of SD-Turbo's own scheduler."""

    @model_validator(mode="after")
    def _inside(self) -> Schedule:
        if self.timestep >= self.train_timesteps:
            raise ValueError(f"timestep {self.timestep} is not below {self.train_timesteps}")
        if self.beta_end < self.beta_start:
            raise ValueError("betas must not fall")
        return self


class Lora(Section):
    """Low-rank adapters of the base models."""

    unet_rank: Annotated[int, Field(ge=1)] = 32
    """[paper]"""
    vae_rank: Annotated[int, Field(ge=1)] = 16
    """[paper] Of the VAE's encoder; its decoder stays as it is."""
    alpha: Annotated[float, Field(gt=0)] = 8.0
    """[chosen] S3Diff sets none, and peft's default is 8: strengths of 8/32 and 8/16. Always
    written, since a loader that finds none takes the rank for it."""
    train_conv_in: bool = True
    """[S3Diff, src/s3diff.py] The UNet's first convolution is trained whole. [chosen] for
    Face2Scene: its authors built upon that code and say nothing else."""


class Prompts(Section):
    """The two texts; both are fixed, so that only their embeddings are kept."""

    positive: str = (
        "a high-resolution, 8K, ultra-realistic sharp image, vibrant colors, and natural lighting"
    )
    """[paper]"""
    negative: str = (
        "oil painting, cartoon, blur, dirty, messy, low quality, deformation, low resolution, "
        "oversmooth"
    )
    """[paper]"""
    seed: int | None = None
    """[chosen] Families without a text encoder draw both embeddings from this seed: what they mean
    is learned in training anyway. None where the text encoder made them."""


class Guidance(Section):
    scale: Annotated[float, Field(ge=1)] = 1.07
    """λ in ε_neg + λ (ε_pos − ε_neg). [chosen] The paper sweeps 1.00–1.16 and its default is lost;
    this is S3Diff's (src/s3diff_tile.py), inside the sweep. At 1 there is no negative pass."""


class Faces(Section):
    """Which part of a face pair is looked at."""

    min_side_px: Annotated[int, Field(ge=4)] = 32
    """Smaller pairs are padded by reflection. [chosen] Smallest round size whose tokens cover a
    grid of 4 × 4 (4·2·4); the paper's number is lost, and it calls it a very small face."""
    max_side_px: Annotated[int, Field(ge=32)] = 512
    """Of larger ones the middle is taken, without resizing. [chosen] The aligned face has 512 px,
    more would be enlarged; and attention's memory."""
    train_max_side_px: Annotated[int, Field(ge=32)] = 256
    """The same in training. [chosen] for memory."""

    @model_validator(mode="after")
    def _ordered(self) -> Faces:
        if not self.min_side_px <= self.train_max_side_px <= self.max_side_px:
            raise ValueError("min_side_px <= train_max_side_px <= max_side_px is needed")
        return self


class Tiling(Section):
    """When and how the UNet and the VAE work tile by tile."""

    latent_tile: Annotated[int, Field(ge=8)] = 96
    """[S3Diff, testing_utils.py] Side of the UNet's tiles; latents of no larger area are not
    tiled."""
    latent_overlap: Annotated[int, Field(ge=0)] = 32
    """[S3Diff] Of neighbouring tiles; never more than half a tile is used."""
    gaussian_variance: Annotated[float, Field(gt=0)] = 0.01
    """[S3Diff] Of the weights over a tile, relative to its side. [chosen] symmetric on both axes,
    where S3Diff's has its centre beside the middle on one."""
    encoder_tile_px: Annotated[int, Field(ge=64)] = 1024
    """[S3Diff, vaehook.py]"""
    encoder_pad_px: Annotated[int, Field(ge=0)] = 32
    """[S3Diff]"""
    decoder_tile: Annotated[int, Field(ge=8)] = 224
    """[S3Diff] In latents."""
    decoder_pad: Annotated[int, Field(ge=0)] = 11
    """[S3Diff] In latents."""


UNTILED = Tiling(
    latent_tile=2**20, latent_overlap=0, encoder_tile_px=2**20, decoder_tile=2**20, decoder_pad=0
)
"""No scene is larger than such tiles."""


class Face2SceneConfig(Section):
    """All that decides what a checkpoint's weights do."""

    format_version: Literal[1] = FORMAT_VERSION
    family: FamilyName = "sd-turbo"
    base: BaseModels | None = BaseModels()
    """None: the checkpoint carries the VAE and the UNet itself."""
    trainable: Trainable = "lora"
    """Beside MapNet: ``lora``, the adapters; ``unet``, the UNet as a whole, since a random one that
    is frozen cannot learn; ``full``, the VAE too."""
    schedule: Schedule = Schedule()
    scaling_factor: Annotated[float, Field(gt=0)] = 0.18215
    """Of the VAE's latents: SD-Turbo's own."""
    lora: Lora = Lora()
    prompts: Prompts = Prompts()
    guidance: Guidance = Guidance()
    token_scales: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2, 4)
    """Grids that the degradation code is pooled to: 1 + 4 + 16 = 21 tokens [paper]. ``()`` is the
    model without degradation tokens."""
    faces: Faces = Faces()
    enlarge: Enlarge = "bilinear"
    """How an LQ comes to its scene's size, here and in training: FaDeX reads from the LQ's pixels.
    [S3Diff inference_s3diff.py]; its training has bicubic ones."""
    tiling: Tiling = Tiling()
    colour_fix: ColourFix = "wavelet"
    """[chosen] S3Diff's default; whether the paper's tables used one is unstated."""
    pad_multiple_px: Annotated[int, Field(ge=8)] = 64
    """Sides are padded to a multiple of this. [chosen] Three halvings of the UNet after the VAE's
    three are 64; S3Diff pads to the same."""
    licences: dict[str, str] = {}
    """Component -> licence of its weights, in words."""

    @property
    def tokens(self) -> int:
        """How many degradation tokens a face pair gives."""
        return sum(side * side for side in self.token_scales)

    @property
    def alpha_bar(self) -> float:
        """ᾱ of the one step, in (0, 1)."""
        schedule = self.schedule
        low, high = math.sqrt(schedule.beta_start), math.sqrt(schedule.beta_end)
        steps = max(1, schedule.train_timesteps - 1)
        product = 1.0
        for index in range(schedule.timestep + 1):
            product *= 1 - (low + (high - low) * index / steps) ** 2
        return product
