"""How alike two faces are to a face recogniser: a metric of identity preservation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inscene.errors import SampleError
from inscene.faces.embedders.choice import EMBEDDERS

EMBEDDER = "w600k_r50"

ByteImage = NDArray[np.uint8]


class ArcFaceSimilarity:
    """Cosine of the embeddings, -1..1, of faces as the bench's view ``identity`` cuts them out:
    both aligned by the clean image's landmarks, so that a detector that fails on a poor output
    cannot leave it out of the mean. (The paper says neither model nor alignment.)

    Raises ``MachineError`` for weights or packages that are not here.
    """

    def __init__(self) -> None:
        self._embedder = EMBEDDERS[EMBEDDER].open()

    def __call__(self, images: Sequence[ByteImage], references: Sequence[ByteImage]) -> list[float]:
        side_px = self._embedder.template.size_px
        for image in (*images, *references):
            if image.shape != (side_px, side_px, 3):
                raise SampleError("no_aligned_face", "measure it in a suite with view: identity")
        found, wanted = self._embedder.embed(images), self._embedder.embed(references)
        cosines = np.sum(found.astype(np.float64) * wanted, axis=1)
        return [float(cosine) for cosine in np.clip(cosines, -1, 1)]
