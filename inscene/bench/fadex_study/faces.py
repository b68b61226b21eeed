"""The images of the study: the first ones, by name, that show a face large enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from inscene import images
from inscene.dataset.sources import Input, read_inputs
from inscene.errors import SampleError
from inscene.faces.align import Box, ByteImage
from inscene.faces.columns import stored_face
from inscene.faces.detectors import FaceDetector
from inscene.faces.detectors.choice import DetectorName
from inscene.faces.face import Face
from inscene.restore.pairing import FacePlace

SAME_IMAGE = "same_image"


@dataclass(frozen=True, eq=False)
class StudyFace:
    """The largest face of a clean scene."""

    id: str
    sha256: str
    """Of the image's file; the noise depends on it as that of a dataset's images does."""
    scene: ByteImage
    box: Box
    """Of the face pair, px of the scene."""


@dataclass(frozen=True)
class PassedOver:
    """An image that is not in the study, and why."""

    id: str
    reason: str
    detail: str
    failed: bool
    """True: something is wrong with it; False: it shows no face that could be used."""


@dataclass
class Looked:
    """What became of the images; a run's progress display reads it."""

    inputs: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Reason -> images that show no face to be used."""
    errors: dict[str, int] = field(default_factory=dict)
    """Reason -> images with something wrong."""
    passed_over: list[PassedOver] = field(default_factory=list)
    """Both of them, in their order."""

    def pass_over(self, one: PassedOver) -> None:
        self.passed_over.append(one)
        counts = self.errors if one.failed else self.dropped
        counts[one.reason] = counts.get(one.reason, 0) + 1


class FaceFinder:
    """``min_side_px``: smaller boxes would be padded before FaDeX sees them, and are not taken."""

    def __init__(self, detector: FaceDetector, name: DetectorName, min_side_px: int) -> None:
        self._detector, self._from_metadata = detector, name == "metadata"
        self._min_side_px = min_side_px

    def find(self, inputs: Sequence[Input]) -> Iterator[StudyFace | PassedOver]:
        """One for each input, in their order. The versions of a dataset's pairs share a clean
        image, and only the first of them counts: a picture is not alike to itself."""
        seen: dict[str, str] = {}
        for entry, columns in read_inputs(inputs):
            if isinstance(columns, SampleError):
                yield _failed(entry.id, columns)
                continue
            sha256 = columns["sha256"]
            if sha256 in seen:
                yield PassedOver(entry.id, SAME_IMAGE, f"as {seen[sha256]}", failed=False)
                continue
            seen[sha256] = entry.id
            yield self._look(entry.id, sha256, columns)

    def _look(self, name: str, sha256: str, columns: dict[str, Any]) -> StudyFace | PassedOver:
        try:
            scene = images.decode(columns["image"]["bytes"]).pixels
            stored = stored_face(columns) if self._from_metadata else None
        except SampleError as error:
            return _failed(name, error)
        except ValueError as error:
            return PassedOver(name, "stored_face_unusable", f"{error}", failed=True)
        (found,) = self._detector.detect([scene], [stored])
        if not found:
            return PassedOver(name, "no_face", "", failed=False)
        return self._placed(name, sha256, scene, found[0])

    def _placed(
        self, name: str, sha256: str, scene: ByteImage, face: Face
    ) -> StudyFace | PassedOver:
        try:
            box = FacePlace.of(face.landmarks5, (scene.shape[0], scene.shape[1])).box
        except SampleError as error:
            return PassedOver(name, error.reason, error.detail, failed=False)
        if min(box.width, box.height) < self._min_side_px:
            size = f"{box.width}x{box.height} px, not {self._min_side_px}"
            return PassedOver(name, "face_too_small", size, failed=False)
        return StudyFace(name, sha256, scene, box)


def _failed(name: str, error: SampleError) -> PassedOver:
    return PassedOver(name, error.reason, error.detail, failed=True)
