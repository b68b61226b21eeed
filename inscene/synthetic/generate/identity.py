"""What decides the identity tokens of a photo; no model is loaded here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from inscene.faces.detectors.choice import DetectorChoice
from inscene.faces.embedders.choice import EMBEDDERS
from inscene.weights.locate import hash_of

VERSION = 1
"""Raised when the same photo and weights begin to give other tokens."""
EMBEDDER = "ir_se50"
"""Whose vectors the projector was trained on: no other will do."""
PROJECTOR = ("infiniteyou-sim", "image_proj_model.bin")
"""Weight and file."""
DETECTOR = DetectorChoice("scrfd", weights="antelopev2", sizes_px=(640, 320, 160))
"""As InfiniteYou: a size is looked at only where the ones before it found nobody. A face that fills
its photo may be found at the small ones only."""


@dataclass(frozen=True)
class ProjectorConfig:
    """Sizes of the projector; the defaults are the official file's [InfiniteYou,
    pipelines/pipeline_infu_flux.py]."""

    face_dim: int = 512
    """Of the identity vector."""
    width: int = 1280
    tokens: int = 8
    """The number that InfuseNet was trained with; others are not supported."""
    token_dim: int = 4096
    """What FLUX.1's control net reads: T5's width."""
    layers: int = 4
    heads: int = 20
    head_dim: int = 64
    widening: int = 4
    """Of the feed-forward layers."""


OFFICIAL = ProjectorConfig()


@dataclass(frozen=True)
class IdTokenSettings:
    """Who finds the face, and the projector's sizes."""

    detector: DetectorChoice = DETECTOR
    projector: ProjectorConfig = OFFICIAL

    def fingerprint(self) -> dict[str, Any]:
        """As JSON values, with the hashes of all weights. Raises ``MissingWeightError``."""
        return {
            "version": VERSION,
            "detector": self.detector.fingerprint(),
            "embedder": EMBEDDERS[EMBEDDER].weight_hash(),
            "projector": hash_of(*PROJECTOR),
            "sizes": asdict(self.projector),
        }
