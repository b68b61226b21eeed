"""``face_area`` and ``sharpness``: scenes whose face says too little."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np
from pydantic import Field

from inscene.engine.rows import Call, Drop, Fail, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Redecision, Step, StepContext, Threshold
from inscene.faces.align import ByteImage
from inscene.faces.columns import stored_face
from inscene.faces.face import Face

TOO_SMALL = "face_too_small"
SCENE_BLURRED, FACE_BLURRED = "scene_blurred", "face_blurred"
Share = Annotated[float, Field(ge=0, le=1)]
Variance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class FaceArea(Step):
    """Drop scenes whose face is too small a part of them."""

    min: Share = 0.004
    """Smallest area of the face box / area of the image."""

    def setup(self, context: StepContext) -> Call:
        def decide(row: Row) -> Outcome:
            face = stored_face(row.columns)
            if face is None:
                return Fail("no_face_known", "detect_faces comes before face_area")
            area = face.area / (row.columns["height"] * row.columns["width"])
            row.scores["face_area"] = area
            if area < self.min:
                return Drop(TOO_SMALL, f"{area:.4f} of the image; {self.min:g} is needed")
            return Keep((row,))

        return row_by_row(decide)

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        return {"min": Threshold(facts["min"], Share, score="face_area")}

    @classmethod
    def redecide(
        cls, facts: Mapping[str, Any], changed: Mapping[str, Any], row: Mapping[str, Any]
    ) -> Redecision:
        area = (row.get("scores") or {}).get("face_area")
        if area is None:
            return Redecision("unknown", "its face_area is not stored")
        least = changed.get("min", facts["min"])
        return Redecision("drop", TOO_SMALL) if area < least else Redecision("keep")


@dataclass(frozen=True)
class Sharpness(Step):
    """Drop what is blurred, by the variance of the Laplacian of the 8-bit luma: a smooth picture
    has little. Both are measured before either decides."""

    scene_min: Variance = 50.0
    """Smallest over the whole scene."""
    face_min: Variance = 100.0
    """Smallest inside the face box."""

    def setup(self, context: StepContext) -> Call:
        def decide(row: Row) -> Outcome:
            assert row.pixels is not None, "decode comes first"
            face = stored_face(row.columns)
            if face is None:
                return Fail("no_face_known", "detect_faces comes before sharpness")
            scene, inside = laplacian_vars(row.pixels, face)
            row.scores.update(laplacian_var=scene, face_laplacian_var=inside)
            if scene < self.scene_min:
                return Drop(SCENE_BLURRED, f"{scene:.1f} < {self.scene_min:g}")
            if inside < self.face_min:
                return Drop(FACE_BLURRED, f"{inside:.1f} < {self.face_min:g}")
            return Keep((row,))

        return row_by_row(decide)

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        return {
            "scene_min": Threshold(facts["scene_min"], Variance, score="laplacian_var"),
            "face_min": Threshold(facts["face_min"], Variance, score="face_laplacian_var"),
        }

    @classmethod
    def redecide(
        cls, facts: Mapping[str, Any], changed: Mapping[str, Any], row: Mapping[str, Any]
    ) -> Redecision:
        scores = row.get("scores") or {}
        now = {**facts, **changed}
        for score, key, reason in (
            ("laplacian_var", "scene_min", SCENE_BLURRED),
            ("face_laplacian_var", "face_min", FACE_BLURRED),
        ):
            if scores.get(score) is None:
                return Redecision("unknown", f"its {score} is not stored")
            if scores[score] < now[key]:
                return Redecision("drop", reason)
        return Redecision("keep")


def laplacian_vars(image: ByteImage, face: Face) -> tuple[float, float]:
    """Of the image, and inside the face box as far as it is in the image."""
    edges = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_16S)
    height, width = image.shape[:2]
    x0, y0, x1, y1 = face.bbox
    rows = slice(min(max(0, math.floor(y0)), height - 1), max(1, min(height, math.ceil(y1) + 1)))
    columns = slice(min(max(0, math.floor(x0)), width - 1), max(1, min(width, math.ceil(x1) + 1)))
    return _variance(edges), _variance(np.ascontiguousarray(edges[rows, columns]))


def _variance(values: Any) -> float:
    _, deviation = cv2.meanStdDev(values)
    return float(deviation[0, 0]) ** 2
