"""MTCNN by facenet-pytorch, whose wheel carries the weights: the detector that needs no download.

The code and the weights are MIT. Its wheel asks for versions of torch and NumPy that this project
does not run on, and works with the present ones; so it is installed without its requirements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from inscene.errors import MachineError
from inscene.faces.detectors import ByteImage, largest_first
from inscene.faces.face import Face

INSTALL = "pip install --no-deps facenet-pytorch==2.6.0"


class Mtcnn:
    """Raises ``MachineError`` where facenet-pytorch or torch is not installed.

    ``min_score`` is the confidence of the last stage; ``min_face_px`` the smallest face that is
    looked for, the shorter side of its box in px.
    """

    def __init__(self, *, min_score: float = 0.9, min_face_px: int = 20) -> None:
        try:
            from facenet_pytorch import MTCNN
        except ImportError as error:
            raise MachineError(
                "the face detector mtcnn needs facenet-pytorch",
                why=f"{error}.",
                next_step=f"Run: {INSTALL}",
            ) from error
        self._min_score = min_score
        self._network: Any = MTCNN(keep_all=True, min_face_size=min_face_px, device="cpu")

    def detect(
        self, images: Sequence[ByteImage], stored: Sequence[Face | None] = ()
    ) -> list[list[Face]]:
        return [self._of_one(np.ascontiguousarray(image)) for image in images]

    def _of_one(self, image: ByteImage) -> list[Face]:
        """facenet-pytorch looks at the square around a box, and squeezes the part of it that is in
        the image to its full width: landmarks of a face that fills its image are off by a tenth of
        it. So an image with such a face is looked at again, with as much black around it."""
        faces = self._look(image)
        margin_px = max((_overhang_px(face, image) for face in faces), default=0)
        if margin_px == 0:
            return faces
        sides = (margin_px,) * 4
        wider = cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        return [_moved(face, -margin_px) for face in self._look(np.asarray(wider, np.uint8))]

    def _look(self, image: ByteImage) -> list[Face]:
        if min(image.shape[:2]) < self._network.min_face_size:
            return []  # its pyramid would be empty, which it does not expect
        boxes, scores, points = self._network.detect(image, landmarks=True)
        if boxes is None:
            return []
        sure = scores >= self._min_score
        return largest_first(boxes[sure], scores[sure], points[sure])


def _overhang_px(face: Face, image: ByteImage) -> int:
    """Half the side of the square around its box, where that reaches beyond the image; else 0."""
    x0, y0, x1, y1 = face.bbox
    half = max(x1 - x0, y1 - y0) / 2
    height, width = image.shape[:2]
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    inside = half <= x <= width - half and half <= y <= height - half
    return 0 if inside else math.ceil(half)


def _moved(face: Face, by_px: int) -> Face:
    x0, y0, x1, y1 = (value + by_px for value in face.bbox)
    return Face((x0, y0, x1, y1), face.score, face.landmarks5 + by_px)
