"""ArcFace by insightface: w600k_r50 of buffalo_l, glintr100 of antelopev2.

The code is MIT, the official weights are for non-commercial research.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inscene.faces.align import ByteImage
from inscene.faces.embedders import of_size, unit_length
from inscene.faces.identity import Embedding
from inscene.faces.onnx_models import missing, open_session, shapes_of
from inscene.faces.templates import ARCFACE_112
from inscene.weights.model_files import not_a_model

DIMENSIONS = 512


class ArcFaceOnnx:
    """``name`` is that of the weights; ``batch`` crops at a time, one where the model says so;
    ``threads`` as in :func:`~inscene.faces.onnx_models.open_session`.

    Raises ``MachineError`` without insightface and for a file that is not such a model.
    """

    template = ARCFACE_112

    def __init__(
        self, onnx: Path, *, name: str, batch: int = 32, threads: int | None = None
    ) -> None:
        session = open_session(onnx, threads=threads)
        source, *others = session.get_inputs()
        side_px = self.template.size_px
        if others or source.shape[1:] != [3, side_px, side_px] or len(session.get_outputs()) != 1:
            raise not_a_model(onnx, "a face recogniser", shapes_of(session))
        try:
            from insightface.model_zoo import ArcFaceONNX
        except ImportError as error:
            raise missing("insightface", error) from error
        self.name = name
        self._batch = 1 if isinstance(source.shape[0], int) else batch
        # It reads from the graph which range of pixels the network expects.
        self._network: Any = ArcFaceONNX(str(onnx), session)

    def embed(self, crops: Sequence[ByteImage]) -> Embedding:
        blue_first = [
            np.ascontiguousarray(crop[..., ::-1]) for crop in of_size(crops, self.template)
        ]
        batches = [
            self._network.get_feat(blue_first[start : start + self._batch])
            for start in range(0, len(blue_first), self._batch)
        ]
        return unit_length(np.concatenate([np.empty((0, DIMENSIONS), np.float32), *batches]))
