"""``landmarks``: 68 points of the scene's face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inscene.engine.rows import Call, Fail, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.faces.columns import as_column, stored_face
from inscene.threads import model_threads
from inscene.weights.locate import find_file, hash_of

WEIGHT, FILE = "buffalo_l", "1k3d68.onnx"


@dataclass(frozen=True)
class Landmarks(Step):
    """Find iBUG's 68 points with insightface's 1k3d68, in the face that ``detect_faces`` has found
    or the dataset has."""

    def fingerprint(self) -> dict[str, Any]:
        return {"weights": hash_of(WEIGHT, FILE)}

    def setup(self, context: StepContext) -> Call:
        from inscene.faces.landmarks68 import Landmarks68

        model = Landmarks68(find_file(WEIGHT, FILE), threads=model_threads())

        def find(row: Row) -> Outcome:
            assert row.pixels is not None, "decode comes first"
            face = stored_face(row.columns)
            if face is None:
                return Fail("no_face_known", "detect_faces comes before landmarks")
            (points,) = model.find(row.pixels, [face])
            row.columns["landmarks68"] = as_column(points)
            return Keep((row,))

        return row_by_row(find)
