"""``detect_faces``: where the faces are, and which one is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from inscene.engine.rows import Call, Drop, Fail, Keep, Outcome, Row
from inscene.engine.step import Step, StepContext
from inscene.errors import RecipeError
from inscene.faces.columns import FOUND, store_face, stored_face
from inscene.faces.detectors import ByteImage, FaceDetector
from inscene.faces.detectors.choice import DetectorChoice, DetectorName
from inscene.faces.face import Face
from inscene.faces.mapped import mapped_face, reduced

Score = Annotated[float, Field(ge=0, le=1)]
Sizes = Annotated[tuple[Annotated[int, Field(ge=32, multiple_of=32)], ...], Field(min_length=1)]


@dataclass(frozen=True)
class DetectFaces(Step):
    """Find the faces of each scene and keep the largest as its face; a scene without one is
    dropped. ``scores.faces`` counts them."""

    detector: DetectorName = "mtcnn"
    """mtcnn needs no weights; yolov8-face and scrfd do; metadata takes what the dataset has."""
    weights: str | None = None
    """Other weights for it, by their name in ``inscene weights list``."""
    min_score: Score | None = None
    """The detector's confidence. Default: its own."""
    sizes_px: Sizes | None = None
    """Scales to look at; larger ones find smaller faces. Default: the detector's own."""
    look_at_px: Annotated[int, Field(ge=32)] | None = None
    """Shorter side of what the detector sees: a larger image is reduced for it. Default: as it
    is."""

    @property
    def _choice(self) -> DetectorChoice:
        return DetectorChoice(self.detector, self.weights, self.min_score, self.sizes_px)

    def __post_init__(self) -> None:
        _ = self._choice  # refuses what the detector does not take
        if self.look_at_px is not None and self.detector == "metadata":
            raise RecipeError("the detector metadata takes no look_at_px")

    @property
    def needs_weights(self) -> tuple[str, ...]:
        """All that it needs, by their names in ``manifests/weights.yaml``."""
        return self._choice.needs_weights

    @property
    def without_weights(self) -> str:
        """How to do without them."""
        return "--set detect_faces.detector=mtcnn"

    def fingerprint(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"detector": self._choice.fingerprint()}
        return facts if self.look_at_px is None else {**facts, "look_at_px": self.look_at_px}

    def setup(self, context: StepContext) -> Call:
        detector = self._choice.open()

        def detect(rows: Sequence[Row]) -> list[Outcome]:
            stored: list[Face | None] = []
            broken: dict[int, Fail] = {}
            for index, row in enumerate(rows):
                try:
                    stored.append(stored_face(row.columns))
                except ValueError as error:
                    stored.append(None)
                    broken[index] = Fail("stored_face_unusable", f"{error}")
            if self.detector != "metadata":
                broken = {}
            images = [row.pixels for row in rows if row.pixels is not None]
            assert len(images) == len(rows), "decode comes first"
            found = self._find(detector, images, stored)
            return [
                broken[index] if index in broken else _decide(row, faces)
                for index, (row, faces) in enumerate(zip(rows, found, strict=True))
            ]

        return detect

    def _find(
        self, detector: FaceDetector, images: list[ByteImage], stored: list[Face | None]
    ) -> list[list[Face]]:
        if self.look_at_px is None:
            return detector.detect(images, stored)
        seen = [reduced(image, self.look_at_px) for image in images]
        found = detector.detect([image for image, _ in seen], stored)
        return [
            [mapped_face(face, 1 / scale) for face in faces]
            for faces, (_, scale) in zip(found, seen, strict=True)
        ]


def _decide(row: Row, faces: list[Face]) -> Outcome:
    row.scores["faces"] = float(len(faces))
    if not faces:
        return Drop("no_face")
    height, width = row.columns["height"], row.columns["width"]
    row.columns[FOUND] = faces
    store_face(row.columns, faces[0])
    row.scores["face_area"] = faces[0].area / (height * width)
    return Keep((row,))
