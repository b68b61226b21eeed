"""ArcFace IR-SE-50 by facexlib: the recogniser whose vectors InfiniteYou is conditioned on.

The file is facexlib's recognition_arcface_ir_se50.pth. facexlib's own ``init_recognition_model``
is not used: it downloads, wants CUDA, and unpickles without restriction.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inscene.errors import MachineError
from inscene.faces.align import ByteImage
from inscene.faces.embedders import of_size, unit_length
from inscene.faces.identity import Embedding
from inscene.faces.templates import ARCFACE_112
from inscene.weights.model_files import not_a_model
from inscene.weights.pickles import load_pickle

DIMENSIONS = 512
MODEL = "the face recogniser IR-SE-50"


class IrSe50:
    """``batch`` crops at a time. ``threads`` are torch's and hold for the whole process; None
    leaves them alone.

    Raises ``MachineError`` without facexlib and for a file that is not this model.
    """

    name = "ir_se50"
    template = ARCFACE_112

    def __init__(
        self, weights: Path, *, batch: int = 32, threads: int | None = None, device: str = "cpu"
    ) -> None:
        try:
            import torch
            from facexlib.recognition.arcface_arch import Backbone
        except ImportError as error:
            raise MachineError(
                "the face recogniser ir_se50 needs facexlib",
                why=f"{error}.",
                next_step="Run: pip install facexlib",
            ) from error
        with torch.device("meta"):  # else 44 million random numbers are drawn and thrown away
            network = Backbone(50, 0.6, "ir_se")
        state = load_pickle(weights, MODEL)
        try:
            network.to_empty(device="cpu").load_state_dict(state, strict=True)
        except (AttributeError, RuntimeError, TypeError) as error:  # other names, other shapes
            why = f"{str(error).splitlines()[0]}."
            raise not_a_model(weights, MODEL, why) from error
        if threads is not None:
            torch.set_num_threads(threads)
        self._network: Any = network.eval().to(device)
        self._batch, self._device = batch, device

    def embed(self, crops: Sequence[ByteImage]) -> Embedding:
        crops = of_size(crops, self.template)
        batches = [
            self._run(crops[start : start + self._batch])
            for start in range(0, len(crops), self._batch)
        ]
        return unit_length(np.concatenate([np.empty((0, DIMENSIONS), np.float32), *batches]))

    def _run(self, crops: Sequence[ByteImage]) -> Embedding:
        import torch

        blue_first = np.stack(crops)[..., ::-1].transpose(0, 3, 1, 2)
        pixels = torch.from_numpy(np.ascontiguousarray(blue_first)).to(self._device)
        with torch.inference_mode():
            return np.asarray(self._network(pixels.float() / 127.5 - 1).cpu().numpy(), np.float32)
