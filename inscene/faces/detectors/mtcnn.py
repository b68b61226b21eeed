"""MTCNN by facenet-pytorch, whose wheel carries the weights: the detector that needs no download.

The code and the weights are MIT. Its wheel asks for versions of torch and NumPy that this project
does not run on, and works with the present ones; so it is installed without its requirements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
        if min(image.shape[:2]) < self._network.min_face_size:
            return []  # its pyramid would be empty, which it does not expect
        boxes, scores, points = self._network.detect(image, landmarks=True)
        if boxes is None:
            return []
        sure = scores >= self._min_score
        return largest_first(boxes[sure], scores[sure], points[sure])
