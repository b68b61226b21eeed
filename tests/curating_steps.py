"""A step that scores and refuses as a gallery's curation does, with no model."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from inscene.engine.rows import Call, Drop, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Redecision, Step, StepContext, Threshold


@dataclass(frozen=True)
class Curate(Step):
    min_laplacian_var: float = 400.0
    min_musiq: float = 45.0
    max_faces: float = 2.0

    def setup(self, context: StepContext) -> Call:
        def work(row: Row) -> Outcome:
            assert row.pixels is not None
            height, width = row.pixels.shape[:2]
            drawn = np.random.default_rng(zlib.crc32(row.input_id.encode()))
            grey = cv2.cvtColor(row.pixels, cv2.COLOR_RGB2GRAY)
            row.columns.update(
                face_bbox=[0.3 * width, 0.2 * height, 0.6 * width, 0.6 * height],
                face_score=float(drawn.uniform(0.6, 1)),
                tags=sorted(drawn.choice(["man", "street", "tree", "lamp", "bicycle"], 3)),
                identity=row.input_id.split("/")[-2],
                licence="CC0-1.0",
            )
            row.scores.update(
                laplacian_var=float(cv2.Laplacian(grey, cv2.CV_64F).var()),
                musiq=float(np.clip(drawn.normal(62, 12), 0, 100)),
                clipiqa=float(drawn.beta(6, 3)),
                faces=float(drawn.integers(1, 4)),
            )
            reason = _decide(self.fingerprint(), row.scores)
            return Drop(reason, f"of {width}x{height} px") if reason else Keep((row,))

        return row_by_row(work)

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        return {name: Threshold(value, float) for name, value in facts.items() if "_" in name}

    @classmethod
    def redecide(
        cls, facts: Mapping[str, Any], changed: Mapping[str, Any], row: Mapping[str, Any]
    ) -> Redecision:
        reason = _decide({**facts, **changed}, row["scores"])
        return Redecision("drop", reason) if reason else Redecision("keep")


def _decide(limits: Mapping[str, float], scores: Mapping[str, float]) -> str:
    if scores["laplacian_var"] < limits["min_laplacian_var"]:
        return "scene_blurred"
    if scores["musiq"] < limits["min_musiq"]:
        return "low_musiq"
    return "other_person" if scores["faces"] > limits["max_faces"] else ""
