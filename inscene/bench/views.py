"""``view``: which part of the images is scored, or which images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from inscene.engine.rows import Call, Fail, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.faces.align import Alignment, ByteImage
from inscene.faces.columns import stored_face
from inscene.faces.crops import identity_crop
from inscene.faces.face import Face

ViewName = Literal["scene", "face", "face_inserted", "identity"]


@dataclass(frozen=True)
class View(Step):
    """The protocols of the paper's tables. All but ``scene`` need the clean image's face and its
    landmarks, as ``detect_faces`` stores them."""

    of: ViewName = "scene"
    """``scene``: the whole images. ``face``: the clean image's face box, cut out of both.
    ``face_inserted``: the clean face inserted into the output with a soft mask, so that only the
    scene around it differs. ``identity``: both faces as a recogniser sees them, aligned by the
    clean image's landmarks."""

    def setup(self, context: StepContext) -> Call:
        def view(row: Row) -> Outcome:
            if self.of == "scene":
                return Keep((row,))
            assert row.pixels is not None, "decode comes first"
            try:
                face = stored_face(row.columns)
            except ValueError as error:
                return Fail("stored_face_unusable", f"{error}")
            if face is None:
                return Fail("no_face_known", "make the scenes with the step detect_faces")
            restored, clean = row.images["restored"], row.pixels
            row.images["restored"], row.pixels = _VIEWS[self.of](restored, clean, face)
            if row.pixels.size == 0:
                return Fail("face_outside")
            return Keep((row,))

        return row_by_row(view)


def _face(restored: ByteImage, clean: ByteImage, face: Face) -> tuple[ByteImage, ByteImage]:
    height, width = clean.shape[:2]
    x0, y0, x1, y1 = (round(value) for value in face.bbox)
    rows, columns = slice(max(0, y0), min(height, y1)), slice(max(0, x0), min(width, x1))
    return (
        np.ascontiguousarray(restored[rows, columns]),
        np.ascontiguousarray(clean[rows, columns]),
    )


def _inserted(restored: ByteImage, clean: ByteImage, face: Face) -> tuple[ByteImage, ByteImage]:
    mask = Alignment.fit(face.landmarks5).insertion_mask(clean.shape[:2])[..., None]
    mixed = mask * clean + (1 - mask) * restored
    return np.rint(mixed).astype(np.uint8), clean


def _identity(restored: ByteImage, clean: ByteImage, face: Face) -> tuple[ByteImage, ByteImage]:
    return identity_crop(restored, face.landmarks5), identity_crop(clean, face.landmarks5)


_VIEWS = {"face": _face, "face_inserted": _inserted, "identity": _identity}
