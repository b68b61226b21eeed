"""Whether a generated scene shows the person that it was to show."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from inscene.errors import SampleError
from inscene.faces.align import ByteImage
from inscene.faces.crops import identity_crop
from inscene.faces.detectors import FaceDetector
from inscene.faces.detectors.choice import DetectorChoice
from inscene.faces.embedders import FaceEmbedder
from inscene.faces.embedders.choice import EMBEDDERS, KnownEmbedder, Least
from inscene.faces.face import Face
from inscene.faces.identity import Embedding, score_identity
from inscene.synthetic.gates import Gates, measure

REFERENCES_HELD = 256
"""Embedded reference photos; jobs of one photo lie together."""

NO_FACE, UNLIKE, NO_IDENTITY = "no_face_generated", "unlike_reference", "no_identity"

Sizes = Annotated[tuple[Annotated[int, Field(ge=32, multiple_of=32)], ...], Field(min_length=1)]


@dataclass(frozen=True)
class IdentityRule:
    """How like its reference a scene must be. Another network than the generator's own says so:
    what made the likeness should not be what judges it."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    min: Least = "published"
    """Smallest cosine that is taken, itself included; published: that of the embedder, 0.55 for
    w600k_r50 (the paper's section 4.1); none: any is taken."""
    embedder: Literal["w600k_r50", "glintr100", "ir_se50"] = "w600k_r50"
    detector: Literal["scrfd", "yolov8-face", "mtcnn"] = "scrfd"
    """Of both images the largest face is looked at."""
    sizes_px: Sizes | None = None
    """Scales that the detector looks at. Default: its own, for scrfd 320, 640 and 1024. At 320
    alone a face of 60 px in 1152 px shrinks to 17 px, and far people are taken for nobody."""
    min_score: Annotated[float, Field(ge=0, le=1)] | None = None
    """The detector's confidence. Default: its own."""

    def __post_init__(self) -> None:
        _ = self._detector  # refuses what the detector does not take
        _ = self.least  # refuses what nobody has published

    @property
    def least(self) -> float:
        return self._embedder.least(self.min)

    @property
    def _embedder(self) -> KnownEmbedder:
        return EMBEDDERS[self.embedder]

    @property
    def _detector(self) -> DetectorChoice:
        return DetectorChoice(self.detector, None, self.min_score, self.sizes_px)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in ``manifests/weights.yaml``."""
        place, _ = self._detector.place
        return tuple(dict.fromkeys(name for name in (place, self._embedder.weight) if name))

    def fingerprint(self) -> dict[str, Any]:
        """All that decides. Raises ``MissingWeightError``."""
        return {
            "min": self.least,
            "embedder": self.embedder,
            "weights": self._embedder.weight_hash(),
            "detector": self._detector.fingerprint(),
        }

    def open(self) -> tuple[FaceDetector, FaceEmbedder]:
        """Raises ``MachineError`` for weights or packages that are not here."""
        return self._detector.open(), self._embedder.open()


@dataclass(frozen=True)
class Verdict:
    """What was found, and what follows."""

    reason: str | None
    """Why the image is rejected, or None."""
    similarity: float | None
    """Cosine to the reference, -1..1; None without a face."""
    scores: dict[str, float] = field(default_factory=dict)
    """By the names of their columns."""
    face: Face | None = None


class Judge:
    """Looks at one image at a time. Not for several threads at once."""

    def __init__(self, rule: IdentityRule, gates: Gates) -> None:
        self._rule, self._gates = rule, gates
        self._detector, self._embedder = rule.open()
        self._references: OrderedDict[str, Embedding] = OrderedDict()

    @property
    def model(self) -> str:
        """Name of the network behind the similarities."""
        return self._embedder.name

    def reference(self, sha256: str, pixels: ByteImage) -> Embedding:
        """The largest face of a reference photo, embedded once while it is remembered.

        Raises ``SampleError`` (``no_face_in_reference``, ``no_identity``).
        """
        if sha256 not in self._references:
            found = self._look(pixels)
            if found is None:
                raise SampleError("no_face_in_reference", "the judge's detector finds none")
            self._references[sha256] = found[1]
            if len(self._references) > REFERENCES_HELD:
                self._references.popitem(last=False)
        self._references.move_to_end(sha256)
        return self._references[sha256]

    def __call__(self, image: ByteImage, reference: Embedding, shot: str | None) -> Verdict:
        """``image``: (H, W, 3) uint8 RGB; ``shot``: what the prompt asked for."""
        try:
            found = self._look(image)
        except SampleError as error:
            return Verdict(error.reason, None)
        if found is None:
            return Verdict(NO_FACE, None, {"faces": 0.0})
        faces, embedding = found
        cosine = score_identity(embedding, conditioning=reference).conditioning
        assert cosine is not None
        scores = {
            "faces": float(len(faces)),
            "identity": cosine,
            "identity_conditioning": cosine,
            **measure(image, faces),
        }
        reason = decide(cosine, scores, shot, self._rule.least, self._gates)
        return Verdict(reason, cosine, scores, faces[0])

    def _look(self, image: ByteImage) -> tuple[list[Face], Embedding] | None:
        """The faces, the largest first, and what that one looks like; None without any. Raises
        ``SampleError`` for a face that the recogniser sees nothing in."""
        (faces,) = self._detector.detect([image])
        if not faces:
            return None
        try:
            crop = identity_crop(image, faces[0].landmarks5, self._embedder.template)
        except ValueError as error:  # landmarks that all coincide
            raise SampleError(NO_IDENTITY, str(error)) from error
        (embedding,) = self._embedder.embed([crop])
        return faces, embedding


def decide(
    similarity: float | None,
    scores: Mapping[str, Any],
    shot: str | None,
    least: float,
    gates: Gates,
) -> str | None:
    """Why an image with these scores is rejected, or None: the same when it is generated and when a
    threshold is moved later."""
    if similarity is None:
        return NO_FACE
    if similarity < least:
        return UNLIKE
    return gates.refuses(scores, shot)
