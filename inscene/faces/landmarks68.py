"""68 landmarks by insightface's 1k3d68, as the pipeline of the paper stores them.

The code is MIT, the official weights are for non-commercial research. The points are those of
iBUG 300-W: the jaw, the brows, the nose, the eyes, the mouth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inscene.faces.align import ByteImage
from inscene.faces.face import Face, Points
from inscene.faces.onnx_models import missing, open_session, shapes_of
from inscene.faces.similarity import Similarity
from inscene.weights.model_files import not_a_model

SIDE_PX = 192
MARGIN = 1.5
"""Side of what the network sees, of the longer side of the box."""
POINTS = 68
OUTPUTS = 3309
"""x, y and z of 1103 points, of which the last 68 are the landmarks."""


class Landmarks68:
    """``threads`` as in :func:`~inscene.faces.onnx_models.open_session`. Raises ``MachineError``
    without insightface and for a file that is not this model."""

    def __init__(self, onnx: Path, *, threads: int | None = None) -> None:
        self._session = open_session(onnx, threads=threads)
        source, outputs = self._session.get_inputs()[0], self._session.get_outputs()
        if source.shape[1:] != [3, SIDE_PX, SIDE_PX] or outputs[0].shape[1:] != [OUTPUTS]:
            raise not_a_model(onnx, "the landmark model 1k3d68", shapes_of(self._session))
        try:
            from insightface.model_zoo import Landmark
        except ImportError as error:
            raise missing("insightface", error) from error
        self._input = source.name
        # It reads from the graph which range of pixels the network expects; its own way to the
        # landmarks takes one face at a time and estimates a pose that nobody asked for.
        network: Any = Landmark(str(onnx), self._session)
        self._mean, self._std = network.input_mean, network.input_std

    def find(self, image: ByteImage, faces: Sequence[Face]) -> list[Points]:
        """68 × 2 px of the image (uint8 RGB), for each face; may lie beyond the image."""
        image = np.ascontiguousarray(image)
        return [self._of_one(image, face) for face in faces]

    def _of_one(self, image: ByteImage, face: Face) -> Points:
        to_crop = _to_crop(face)
        crop = cv2.warpAffine(image, to_crop.matrix, (SIDE_PX, SIDE_PX))
        blob = cv2.dnn.blobFromImage(crop, 1 / self._std, mean=(self._mean,) * 3)
        # One face at a time: its output says one row, and insightface never asks it for more.
        (rows,) = self._session.run(None, {self._input: blob})
        points = rows.reshape(-1, 3)[-POINTS:, :2].astype(np.float64)
        return to_crop.inverse((points + 1) * (SIDE_PX / 2))


def _to_crop(face: Face) -> Similarity:
    x0, y0, x1, y1 = face.bbox
    scale = SIDE_PX / (MARGIN * max(x1 - x0, y1 - y0))
    to_middle = [SIDE_PX / 2 - scale * (x0 + x1) / 2, SIDE_PX / 2 - scale * (y0 + y1) / 2]
    return Similarity(np.array([[scale, 0, to_middle[0]], [0, scale, to_middle[1]]]))
