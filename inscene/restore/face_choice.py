"""Which face of a scene leads, where nothing but its pixels is known."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from inscene import images
from inscene.faces.align import Alignment, ByteImage
from inscene.faces.crops import identity_crop
from inscene.faces.detectors import FaceDetector
from inscene.faces.detectors.choice import DetectorChoice
from inscene.faces.embedders.choice import EMBEDDERS
from inscene.faces.face import Face, Points
from inscene.faces.identity import score_identity
from inscene.weights.locate import MissingWeightError

Leads = Literal["most_alike", "largest"]

RETRY_SIZES_PX = tuple(range(640, 255, -64))
"""[FaceMe utils/insightface_package.py] One after the other until one shows a face: a face that
fills the scene is found at smaller sizes only."""
_TAKES_SIZES = ("scrfd", "yolov8-face")
EMBEDDER = "w600k_r50"
"""[chosen] The recogniser of the ``identity`` step's default."""
REMEMBERED = 64
"""References whose faces are kept: rows of one person lie together."""


@dataclass(frozen=True, eq=False)
class Found:
    """The face that leads."""

    face: Face
    faces: int
    """How many there were."""
    how: str
    """What found it: the detector, with the size at which it looked where it looks at one."""
    similarity: float | None = None
    """Mean cosine to the references, where they decided."""


class FaceChoice:
    """Detects, and chooses the face that is most like the references, else the largest.

    Photographs are uint8 RGB of any size, upright. The detector is loaded at the first one; the
    recogniser at the first scene of several faces that comes with references. Both raise
    ``MachineError`` for what is not here.
    """

    def __init__(
        self, detector: DetectorChoice, leads: Leads = "most_alike", embedder: str = EMBEDDER
    ) -> None:
        if detector.name == "metadata":
            raise ValueError("a detector that looks is needed, not 'metadata'")
        self._detector, self._leads = detector, leads
        self._embedder = EMBEDDERS[embedder]
        self._opened: dict[DetectorChoice, FaceDetector] = {}
        self._of_references: OrderedDict[str, _Reference | None] = OrderedDict()

    def find(self, scene: ByteImage, references: Sequence[ByteImage] = ()) -> Found | None:
        """None where no face is found. ``references`` are whole photographs of the person."""
        faces, how = self.detect(scene)
        if not faces:
            return None
        first = Found(faces[0], len(faces), how)
        if len(faces) == 1 or self._leads == "largest" or not references:
            return first
        gallery = [one.crop for one in self._faces_of(references)]
        if not gallery:
            return first
        embedder = self._embedder.open()
        crops = [identity_crop(scene, face.landmarks5, embedder.template) for face in faces]
        known = embedder.embed(gallery)
        scores = [score_identity(one, gallery=known) for one in embedder.embed(crops)]
        means = [-2.0 if s.gallery_mean is None else s.gallery_mean for s in scores]
        best = int(np.argmax(means))
        return Found(faces[best], len(faces), how, means[best])

    def landmarks(self, scene: ByteImage, references: Sequence[ByteImage] = ()) -> Points | None:
        """5 × 2, px of the scene."""
        found = self.find(scene, references)
        return None if found is None else found.face.landmarks5

    def detect(self, image: ByteImage) -> tuple[list[Face], str]:
        """All faces, the largest first, and what found them."""
        name = self._detector.name
        if name not in _TAKES_SIZES or self._detector.sizes_px is not None:
            return self._look(self._detector, image), name
        for size_px in RETRY_SIZES_PX:
            faces = self._look(replace(self._detector, sizes_px=(size_px,)), image)
            if faces:
                return faces, f"{name}@{size_px}"
        return [], name

    def align_references(self, references: Sequence[ByteImage]) -> list[ByteImage]:
        """The largest face of each photograph as face restorers take it, 512 × 512 × 3; those
        without a face are left out."""
        return [one.aligned for one in self._faces_of(references)]

    def require(self, *, references: bool) -> None:
        """Raise ``MachineError`` for a detector that is not here; with ``references`` for a
        recogniser that scenes of several faces would need, too."""
        self._detector.fingerprint()
        if references and self._leads == "most_alike":
            self._embedder.weight_hash()

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the choice. A recogniser that is not here is None: no scene has been
        chosen by it."""
        facts: dict[str, Any] = {"detector": self._detector.fingerprint(), "face": self._leads}
        if self._detector.name in _TAKES_SIZES and self._detector.sizes_px is None:
            facts["sizes_px"] = list(RETRY_SIZES_PX)
        if self._leads == "most_alike":
            facts["embedder"] = self._embedder.name
            try:
                facts["embedder_weights"] = self._embedder.weight_hash()
            except MissingWeightError:
                facts["embedder_weights"] = None
        return facts

    def _look(self, choice: DetectorChoice, image: ByteImage) -> list[Face]:
        if choice not in self._opened:
            self._opened[choice] = choice.open()
        (faces,) = self._opened[choice].detect([image])
        return faces

    def _faces_of(self, photos: Sequence[ByteImage]) -> list[_Reference]:
        found = [self._reference(photo) for photo in photos]
        return [one for one in found if one is not None]

    def _reference(self, photo: ByteImage) -> _Reference | None:
        key = images.pixel_hash(photo)
        if key not in self._of_references:
            faces, _ = self.detect(photo)
            self._of_references[key] = self._cut(photo, faces[0]) if faces else None
            if len(self._of_references) > REMEMBERED:
                self._of_references.popitem(last=False)
        return self._of_references[key]

    def _cut(self, photo: ByteImage, face: Face) -> _Reference:
        aligned = Alignment.fit(face.landmarks5).align(photo)
        return _Reference(aligned, identity_crop(photo, face.landmarks5))


@dataclass(frozen=True, eq=False)
class _Reference:
    aligned: ByteImage
    """For the restorer."""
    crop: ByteImage
    """For the recogniser: all of :data:`EMBEDDERS` take ArcFace's template."""
