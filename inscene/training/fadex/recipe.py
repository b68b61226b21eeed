"""``pipelines/train-fadex.yaml``: what decides FaDeX's training, and how often it is looked at."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from inscene.degrade.files import find_file
from inscene.face2scene.config import Enlarge, FamilyName, Section
from inscene.face2scene.momentum import MOMENTUM, QUEUE_SIZE
from inscene.face2scene.stage_one import StageOneSettings
from inscene.face2scene.views import VIEW_SIDE_PX

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class DataChoices(Section):
    gt_probability: Share = 0.5
    """[paper: both kinds of pairs; 0.5 chosen] Of views whose HQ is the clean face, in rows that
    have a restored one. Elsewhere it always is."""
    round_trip_probability: Share = 0.5
    """[chosen] Of clean faces to be aligned and brought back as restored ones are: that an HQ was
    resampled must not tell what it is."""
    profile: str = "s3diff"
    """Of photographs, which are degraded on the way, and of validation."""
    crop_px: Count = 256
    """[chosen] Side of what stands in for the face, anywhere in a scene that has no landmarks: room
    for two different views."""
    enlarge: Enlarge = "bilinear"
    """How an LQ comes to its scene's size. [chosen] As in inference."""
    same_images: bool = False
    """[chosen] Of photographs: a step's operators all degrade the same images, so that nothing but
    the operator tells its groups apart. Off: each group has its own, as stored datasets do."""
    cache_mb: Annotated[int, Field(ge=0)] = 256
    """Decoded images that each worker keeps."""


class ValidationChoices(Section):
    every: Count = 500
    """[chosen] Steps."""
    images: Annotated[int, Field(ge=2)] = 10
    """[paper: its test of cosines has ten] Held back from training, at most a tenth of all; those
    of the split ``val``, where there is one."""
    operators: Annotated[int, Field(ge=2)] = 20
    """[chosen] Drawn from the profile and for validation alone; each degrades every image."""
    draws: Count = 100
    """[chosen] Batches as the training's that retrieval is also measured on: so many operators with
    so many images each, drawn from those above."""
    presets: tuple[str, ...] = ("d1", "d2", "d3", "d4")
    """[paper: four; numbers chosen] Of the matrices of Figure 3. Empty: none are drawn."""
    view_px: Count | None = None
    """Side of the middle of each face that is looked at. Null is the training's."""

    @model_validator(mode="after")
    def _two_presets(self) -> Self:
        if len(self.presets) == 1:
            raise ValueError("presets: two at least are compared, or none")
        return self


class FadexRecipe(Section):
    name: str = "train-fadex"
    makes: Literal["fadex"] = "fadex"
    seed: int = 0
    family: FamilyName = "sd-turbo"
    """Whose FaDeX: its channels."""
    start: str | None = None
    """FaDeX to begin with, in place of random weights: a run, a checkpoint, OWNER/NAME."""
    first_filters: Literal["random", "detail"] = "random"
    """Of a FaDeX that begins untrained. ``detail``: those of the first convolution have a mean of
    zero, a third look at the LQ, a third at the HQ and a third at the difference. [chosen] for the
    small family: what is evenly bright says nothing about a degradation, and random filters see
    little else; in no trial of that family with them did the code tell
    operators apart."""
    steps: Count | None = None
    """In place of ``epochs``."""
    epochs: Count = 200
    """[paper] How often each image is seen; of stored pairs, each of its versions."""
    operators: Annotated[int, Field(ge=2)] = 5
    images: Annotated[int, Field(ge=2)] = 4
    """A step is so many operators with so many images each: 20 [paper] = 5 × 4 [chosen]."""
    view_px: Count = VIEW_SIDE_PX
    momentum: Share = MOMENTUM
    queue: Count = QUEUE_SIZE
    optimisation: StageOneSettings = StageOneSettings()
    data: DataChoices = DataChoices()
    validation: ValidationChoices = ValidationChoices()
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 …"""
    log_every: Count = 10
    checkpoint_every: Count = 500
    keep: Count = 2
    """The newest checkpoints; the best one stays too."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Processes that make batches ahead. Null is one less than there are CPUs."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        find_file("profiles", self.data.profile, "degradation profile")
        for preset in self.validation.presets:
            find_file("presets", preset, "degradation operator")
        return self

    @property
    def loader_workers(self) -> int:
        if self.workers is not None:
            return self.workers
        return min(16, len(os.sched_getaffinity(0)) - 1)

    def fingerprint(self) -> dict[str, Any]:
        """What a resumed run must not change: all but how often it is looked at, and by whom."""
        free = {"device", "log_every", "checkpoint_every", "keep", "workers", "validation"}
        facts = self.model_dump(mode="json", exclude=free)
        del facts["data"]["cache_mb"]
        facts["validation"] = {"images": self.validation.images}
        return facts
