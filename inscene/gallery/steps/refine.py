"""``refine_face``: the face once more, on the scene itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from inscene.engine.rows import Call, Drop, Fail, Keep, Outcome, Row
from inscene.engine.step import Step, StepContext
from inscene.faces.columns import FOUND, store_face, stored_face
from inscene.faces.detectors.choice import DetectorChoice, DetectorName
from inscene.faces.face import Face
from inscene.faces.steps.detect import Score, Sizes

NO_FACE = "no_face"


@dataclass(frozen=True)
class RefineFace(Step):
    """Detect on the scene and take the face that lies where the photo's was: its box and landmarks
    are then of the scene's own pixels. Where there is none, the scene is dropped."""

    detector: DetectorName = "mtcnn"
    weights: str | None = None
    min_score: Score | None = None
    sizes_px: Sizes | None = None
    """These four as in ``detect_faces``."""
    min_overlap: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Smallest intersection over union with the box that is known."""

    @property
    def _choice(self) -> DetectorChoice:
        return DetectorChoice(self.detector, self.weights, self.min_score, self.sizes_px)

    def __post_init__(self) -> None:
        _ = self._choice  # refuses what the detector does not take

    @property
    def needs_weights(self) -> tuple[str, ...]:
        """All that it needs, by their names in ``manifests/weights.yaml``."""
        return self._choice.needs_weights

    @property
    def without_weights(self) -> str:
        """How to do without them."""
        return "--set refine_face.detector=mtcnn"

    def fingerprint(self) -> dict[str, Any]:
        return {"detector": self._choice.fingerprint(), "min_overlap": self.min_overlap}

    def setup(self, context: StepContext) -> Call:
        detector = self._choice.open()

        def refine(rows: Sequence[Row]) -> list[Outcome]:
            images = [row.pixels for row in rows if row.pixels is not None]
            assert len(images) == len(rows), "decode comes first"
            known = [stored_face(row.columns) for row in rows]
            found = detector.detect(images, known)
            return [
                self._decide(row, face, faces)
                for row, face, faces in zip(rows, known, found, strict=True)
            ]

        return refine

    def _decide(self, row: Row, known: Face | None, faces: list[Face]) -> Outcome:
        if known is None:
            return Fail("no_face_known", "detect_faces comes before refine_face")
        if not faces:
            return Drop(NO_FACE, "none on the scene; there was one on the photo")
        best = max(faces, key=lambda face: overlap(face, known))
        if overlap(best, known) < self.min_overlap:
            return Drop(NO_FACE, "none on the scene where it was on the photo")
        store_face(row.columns, best)
        row.columns[FOUND] = [best, *(face for face in faces if face is not best)]
        height, width = row.columns["height"], row.columns["width"]
        row.scores["face_area"] = best.area / (height * width)
        return Keep((row,))


def overlap(one: Face, other: Face) -> float:
    """Intersection over union of the boxes, 0..1."""
    x0, y0 = (max(one.bbox[i], other.bbox[i]) for i in (0, 1))
    x1, y1 = (min(one.bbox[i], other.bbox[i]) for i in (2, 3))
    shared = max(0.0, x1 - x0) * max(0.0, y1 - y0)
    return shared / (one.area + other.area - shared)
