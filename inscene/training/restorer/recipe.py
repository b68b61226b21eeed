"""``pipelines/train-restorer.yaml``: everything that decides what a training run gives, and how
often it is looked at."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from inscene.degrade.files import find_file
from inscene.face2scene.config import (
    ColourFix,
    Enlarge,
    Face2SceneConfig,
    FamilyName,
    Lora,
    Section,
    Trainable,
)
from inscene.face2scene.families import find_family
from inscene.face2scene.stage_two import (
    LossWeights,
    Optimisation,
    StageTwoSettings,
    UpdateMode,
)

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]

UNTRAINED = "untrained"
BY_HASH = "see checkpoints"
"""In a fingerprint: wherever a checkpoint lies, it is its content that counts (``origins``)."""


class ModelChoice(Section):
    """What is trained. Values that are null are the family's own."""

    family: FamilyName = "sd-turbo"
    fadex: str | None = None
    """Face2Scene checkpoint whose FaDeX is listened to: a folder, or OWNER/NAME on the Hub.
    ``untrained`` takes random weights, for trying things out. Null where there are no tokens."""
    start: str | None = None
    """Checkpoint to begin with, as a whole, in place of an untrained model: for fine-tuning. Its
    configuration holds, but for ``trainable``, and ``fadex`` replaces its FaDeX where one is
    named."""
    vae: str | None = None
    """Checkpoint whose VAE to begin with, and the scale of its latents, in place of
    ``pretrain_vae``: models that are to be compared can share one."""
    base: str | None = None
    """Folder with the base model, in place of the verified weights."""
    token_scales: tuple[Count, ...] | None = None
    """(1,), (1, 2) and (1, 2, 4) give 1, 5 and 21 tokens [paper]; [] is the model without."""
    first_patches: Literal["random", "standardised"] = "random"
    """Of a MapNet that begins untrained. ``standardised``: FaDeX's features come to it with a mean
    of zero and a variance of one over training's face pairs. [chosen] for the small family: what
    all pairs have in common says nothing, and a MapNet that hears little else is soon trained to
    say the same of every pair."""
    trainable: Trainable | None = None
    lora: Lora | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.start is not None and any(
            one is not None for one in (self.token_scales, self.lora)
        ):
            raise ValueError("start has a configuration of its own: token_scales, lora")
        if self.start is not None and self.vae is not None:
            raise ValueError("start has a VAE of its own: vae")
        if self.vae is not None and find_family(self.family).config.base is not None:
            raise ValueError(f"vae: {self.family} has a VAE that others trained")
        return self

    def config(self) -> Face2SceneConfig:
        """Of a model that begins untrained."""
        config = find_family(self.family).config
        changes = {
            name: value
            for name in ("token_scales", "trainable", "lora")
            if (value := getattr(self, name)) is not None
        }
        return config.model_copy(update=changes)


class FaceChoices(Section):
    """Where a scene's face pair comes from. The first that there is: the row of a face-pairs
    dataset; the scene's stored landmarks, with the clean face as the restored one; a stand-in."""

    stand_in: bool = True
    """Where no face is known, a random square of the scene takes its place, with the clean scene
    beside it. [chosen] A small checkpoint is trained on photographs of which few have a face, and
    how a place was degraded does not depend on what is to be seen there."""
    stand_in_px: tuple[Count, Count] = (32, 64)
    """[chosen] Smallest and largest side of a stand-in, px of the scene: what the small families'
    faces have."""
    drop: Share = 0.0
    """[chosen] Of samples to have their face pair taken away, so that the model also learns to do
    without. 0: the paper says nothing of it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.stand_in_px[0] > self.stand_in_px[1]:
            raise ValueError(f"stand_in_px is [least, most], got {list(self.stand_in_px)}")
        return self


class DataChoices(Section):
    crop_px: Annotated[int, Field(ge=8)] = 512
    """[S3Diff --resolution] Side of what is restored in training; the paper names none."""
    enlarge: Enlarge = "bilinear"
    """How an LQ comes to its scene's size. [chosen] As in inference; S3Diff trains with bicubic.
    The checkpoint says which, and inference does the same."""
    flip: bool = True
    """[S3Diff] Half of the samples are mirrored, their faces with them."""
    profile: str = "s3diff"
    """Of photographs without LQ, which are degraded on the way: another operator in each epoch."""
    scene_px: Annotated[int, Field(ge=8)] = 1024
    """[chosen] Of a photograph, at most a window of this side is degraded: the scene that crop and
    face are taken from. Larger photographs would only cost time."""
    faces: FaceChoices = FaceChoices()
    unusable: Literal["stop", "skip"] = "stop"
    """What to do with an image that cannot be read. ``skip`` takes another in its place, and the
    log counts them."""
    cache_mb: Annotated[int, Field(ge=0)] = 512
    """Decoded images that each loader keeps."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.scene_px < self.crop_px:
            raise ValueError(f"scene_px {self.scene_px} is below crop_px {self.crop_px}")
        find_file("profiles", self.profile, "degradation profile")
        return self


class ValidationChoices(Section):
    every: Count = 100
    """[S3Diff] Steps."""
    images: Annotated[int, Field(ge=0)] = 16
    """[chosen] The same ones each time, never trained on; 0 is none."""
    crop_px: Annotated[int, Field(ge=8)] = 512
    """The middle of the scene, so that one grid shows all."""
    source: str | None = None
    """Dataset or folder of its own. Null: rows of the split ``val``, where the training data have
    such, else the images that the seed holds back, at most a tenth of all."""
    grid: Annotated[int, Field(ge=0)] = 6
    """Rows of the sample grid: LQ | restored | HQ."""


class PretrainVae(Section):
    """A random VAE cannot restore anything: it learns to be an autoencoder first. Only of families
    that carry their VAE.

    [chosen] face2scene.md, section 8, as all of its numbers."""

    steps: Annotated[int, Field(ge=0)] = 0
    """0: none."""
    batch: Count = 8
    crop_px: Annotated[int, Field(ge=8)] = 64
    learning_rate: Rate = 1e-3
    final_rate: Share = 1.0
    """[chosen] Learning rate at the end, of what it is at the beginning, along half a cosine. 1 is
    constant."""
    kl: Annotated[float, Field(ge=0)] = 1e-6
    """Of the divergence from a normal distribution, a mean over the latents, beside the mean
    squared error."""
    clip_norm: Rate = 1.0
    degraded: Share = 0.5
    """[chosen] Of the crops to be LQ images: the encoder will see those."""


class RestorerRecipe(Section):
    name: str = "train-restorer"
    makes: Literal["checkpoint"] = "checkpoint"
    seed: int = 0
    steps: Count = 20_000
    """[paper]"""
    batch: Count = 64
    """[paper] Samples a step, over all devices."""
    micro_batch: Count = 4
    """[chosen] 8 GPUs × 4 × 2 = 64. Samples that go through the networks at once."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 …"""
    model: ModelChoice = ModelChoice()
    data: DataChoices = DataChoices()
    validation: ValidationChoices = ValidationChoices()
    pretrain_vae: PretrainVae = PretrainVae()
    losses: LossWeights = LossWeights()
    """An ``adversarial`` of 0 leaves the discriminator out."""
    generator: Optimisation = Optimisation()
    discriminator: Optimisation = Optimisation()
    negative_probability: Share = 0.05
    """[S3Diff training_utils.py]"""
    update_mode: UpdateMode | None = None
    """Null is the family's: sequential for sd-turbo, joint for the small ones."""
    colour_fix: ColourFix = "none"
    """Of restored images, before the losses look at them: see :class:`StageTwoSettings`."""
    clip_norm: Rate = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    """Less memory, for a third more time."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a running mean of the trained weights, which then is what is validated and saved.
    [S3Diff] has none."""
    perceptual: Literal["auto", "lpips-vgg", "random"] = "auto"
    """auto: LPIPS-VGG for sd-turbo; random features, which need no download, for the others."""
    critic: Literal["auto", "dino", "random"] = "auto"
    """What the discriminator sees with; auto as above."""
    critic_hidden: Count = 128
    """[VA cv_discriminator.py, for DINO] Channels of each of its heads."""
    final_rate: Share = 1.0
    """Learning rates at the end, of what they are at the beginning, along half a cosine. 1 is
    constant [S3Diff]."""
    log_every: Count = 10
    checkpoint_every: Count = 500
    """[S3Diff]"""
    keep: Count = 2
    """[chosen] The last checkpoints; the best one stays too."""
    loader_workers: Annotated[int, Field(ge=0)] = 2
    """Processes that make batches ahead."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        multiple = self.model.config().pad_multiple_px
        for where, side in (("data", self.data), ("validation", self.validation)):
            if side.crop_px % multiple:
                raise ValueError(f"{where}.crop_px: a multiple of {multiple} px is needed")
        if self.pretrain_vae.steps and self.model.config().base is not None:
            raise ValueError(f"pretrain_vae: {self.model.family} has a VAE that others trained")
        if self.pretrain_vae.steps and (self.model.start or self.model.vae):
            raise ValueError("pretrain_vae: the checkpoint to begin with has a VAE")
        return self

    def stage_two(self) -> StageTwoSettings:
        own = StageTwoSettings.of_family(self.model.family).update_mode
        return StageTwoSettings(
            weights=self.losses,
            negative_probability=self.negative_probability,
            update_mode=self.update_mode or own,
            colour_fix=self.colour_fix,
            clip_norm=self.clip_norm,
            precision=self.precision,
        )

    def random_features(self, choice: str) -> bool:
        """Whether ``perceptual`` or ``critic`` is the stand-in that needs no download."""
        if choice == "auto":
            return self.model.family != "sd-turbo"
        return choice == "random"

    def fingerprint(self) -> dict[str, Any]:
        """What a resumed run must not change: all but how long, how often, and by whom. How a
        batch is cut decides its rounding."""
        free = {"device", "log_every", "checkpoint_every", "keep", "loader_workers"}
        if self.final_rate == 1:  # else the end decides every step's learning rate
            free.add("steps")
        facts = self.model_dump(mode="json", exclude=free)
        for name in ("fadex", "start", "vae"):
            if facts["model"][name] not in (None, UNTRAINED):
                facts["model"][name] = BY_HASH
        # How often it is looked at changes nothing; which images are held back does.
        facts["validation"] = {
            name: facts["validation"][name] for name in ("images", "crop_px", "source")
        }
        del facts["data"]["cache_mb"]
        return facts
