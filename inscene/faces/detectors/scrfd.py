"""SCRFD by insightface: det_10g of buffalo_l, scrfd_10g_bnkps of antelopev2.

The code is MIT, the official weights are for non-commercial research. A model is a local file:
insightface downloads what it is asked for by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inscene.faces.detectors import ByteImage, largest_first
from inscene.faces.face import Face
from inscene.faces.onnx_models import missing, open_session, shapes_of
from inscene.weights.model_files import not_a_model

MAX_STRIDE_PX = 32
OUTPUTS = 9
"""Scores, boxes and landmarks of three strides."""


class Scrfd:
    """Looks at each image once for each of ``sizes_px``, the side of the square that it is fitted
    into, and merges what it finds; a larger size finds smaller faces.

    ``threads`` as in :func:`~inscene.faces.onnx_models.open_session`. Raises ``MachineError``
    without insightface and for a file that is not this model, ``ValueError`` for a size that is not
    a multiple of 32.
    """

    def __init__(
        self,
        onnx: Path,
        *,
        min_score: float = 0.5,
        sizes_px: Sequence[int] = (320, 640, 1024),
        threads: int | None = None,
    ) -> None:
        if not sizes_px or any(size <= 0 or size % MAX_STRIDE_PX for size in sizes_px):
            raise ValueError(f"sizes are multiples of {MAX_STRIDE_PX} px, got {sizes_px}")
        session = open_session(onnx, threads=threads)
        if len(session.get_outputs()) != OUTPUTS:
            raise not_a_model(onnx, "an SCRFD detector with landmarks", shapes_of(session))
        try:
            from insightface.model_zoo import SCRFD
        except ImportError as error:
            raise missing("insightface", error) from error
        self._sizes_px = tuple(sizes_px)
        # Else it opens one more session a size: the weights once more in memory, for each of them.
        self._network: Any = SCRFD(str(onnx), session, static_shape_sessions=False)
        self._network.prepare(0, det_thresh=min_score)

    def detect(
        self, images: Sequence[ByteImage], stored: Sequence[Face | None] = ()
    ) -> list[list[Face]]:
        return [self._of_one(image) for image in images]

    def _of_one(self, image: ByteImage) -> list[Face]:
        found = [self._at(image, size_px) for size_px in self._sizes_px]
        boxes = np.concatenate([boxes for boxes, _ in found])
        points = np.concatenate([points for _, points in found])
        kept = self._network.nms(boxes)
        return largest_first(boxes[kept, :4], boxes[kept, 4], points[kept])

    def _at(self, image: ByteImage, size_px: int) -> tuple[Any, Any]:
        """Boxes with their scores, n × 5, and landmarks, n × 5 × 2, in px of the image."""
        # insightface would fit the image into the square itself, but rounds one of its sides and
        # scales both axes by the other: 1.6 px at the far edge of 1024 × 1152. It also fails for
        # images whose shorter side it rounds to nothing.
        height, width = image.shape[:2]
        fit = size_px / max(height, width)
        fitted = max(1, round(height * fit)), max(1, round(width * fit))
        canvas = np.zeros((size_px, size_px, 3), np.uint8)
        resized = cv2.resize(np.ascontiguousarray(image), fitted[::-1])
        canvas[: fitted[0], : fitted[1]] = resized[..., ::-1]  # to BGR
        boxes, points = self._network.detect(canvas, input_size=(size_px, size_px))
        scale = width / fitted[1], height / fitted[0]
        return boxes * np.array([*scale, *scale, 1]), points * np.array(scale)
