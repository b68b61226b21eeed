"""What a generated scene may be refused for beside its likeness. Measured always, asked for rarely:
a gate that was off can still be tried out on the scores (``inscene funnel --set``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import cv2
import numpy as np
from pydantic import Field

from inscene.faces.align import ByteImage
from inscene.faces.face import Face

FULL_BODY = "full-body"
"""The shot that :attr:`Gates.full_body` is about, as the prompts name it."""

PROMINENT = 0.25
"""A face counts from this share of the largest one's area on: half its height. [chosen] Passers-by
and pictures on a wall are smaller."""
PERSON_WIDTH, PERSON_ABOVE = 4.0, 0.5
"""The person is taken to be so many face widths wide, to begin so many face heights above the face
and to reach to the lower edge. [chosen] Shoulders are about three face widths."""
LEAST_BACKGROUND = 0.1
"""Share of the image. With less beside the person, nothing is said of its sharpness. [chosen]"""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Gates:
    """None or false is off, as everything is by default: the paper has the similarity only."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    face_height_px: Positive | None = None
    """Smallest height of the face box."""
    one_face: bool = False
    """Exactly one prominent face."""
    background_laplacian_var: Positive | None = None
    """Smallest variance of the Laplacian of the 8-bit luma beside the person: a blurred background
    has little."""
    full_body: Share | None = None
    """Where the prompt asked for the whole person: largest height of the face box / image."""

    def refuses(self, scores: Mapping[str, Any], shot: str | None) -> str | None:
        """The first gate that scores of :func:`measure` do not pass, or None. What cannot be
        measured does not pass."""
        sharpness = scores.get("background_laplacian_var")
        if self.face_height_px is not None and scores["face_height_px"] < self.face_height_px:
            return "face_too_small"
        if self.one_face and scores["prominent_faces"] != 1:
            return "several_faces"
        if self.background_laplacian_var is not None and sharpness is None:
            return "no_background"
        if (
            self.background_laplacian_var is not None
            and sharpness is not None
            and sharpness < self.background_laplacian_var
        ):
            return "background_blurred"
        if self.full_body is not None and shot == FULL_BODY:
            return "not_full_body" if scores["face_height_share"] > self.full_body else None
        return None


def measure(image: ByteImage, faces: Sequence[Face]) -> dict[str, float]:
    """Scores of a scene by their column names; ``faces`` are one or more, the largest first."""
    face = faces[0]
    height_px = face.bbox[3] - face.bbox[1]
    scores = {
        "face_area": face.area / (image.shape[0] * image.shape[1]),
        "face_height_px": height_px,
        "face_height_share": height_px / image.shape[0],
        "prominent_faces": float(sum(one.area >= PROMINENT * face.area for one in faces)),
    }
    sharpness = _background_laplacian_var(image, face)
    return scores if sharpness is None else {**scores, "background_laplacian_var": sharpness}


def _background_laplacian_var(image: ByteImage, face: Face) -> float | None:
    x0, y0, x1, y1 = face.bbox
    beside = np.ones(image.shape[:2], bool)
    margin = (PERSON_WIDTH - 1) / 2 * (x1 - x0)
    left, right = max(0, round(x0 - margin)), max(0, round(x1 + margin))
    beside[max(0, round(y0 - PERSON_ABOVE * (y1 - y0))) :, left:right] = False
    if beside.mean() < LEAST_BACKGROUND:
        return None
    edges = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F)
    return float(edges[beside].var())
