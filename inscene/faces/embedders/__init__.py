"""Face recognisers, all with one interface: what makes two crops of one person alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inscene.errors import SampleError
from inscene.faces.align import ByteImage
from inscene.faces.identity import Embedding
from inscene.faces.templates import Template


class FaceEmbedder(Protocol):
    @property
    def name(self) -> str:
        """Of the weights; embeddings of two names do not compare."""

    @property
    def template(self) -> Template:
        """How crops are aligned: :func:`~inscene.faces.crops.identity_crop`."""

    def embed(self, crops: Sequence[ByteImage]) -> Embedding:
        """n × d float32, each of length 1, for n crops (uint8 RGB, as large as the template); n may
        be 0.

        Raises ``SampleError`` (``no_identity``) where the network sees nothing in a crop.
        """


def unit_length(embeddings: npt.NDArray[np.float32]) -> Embedding:
    """Each row divided by its length. Raises ``SampleError`` for one that has no direction."""
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    without = np.flatnonzero(~np.isfinite(lengths) | (lengths < 1e-12))
    if without.size:
        raise SampleError("no_identity", f"the embedding of crop {without[0]} has no direction")
    return np.asarray(embeddings / lengths, np.float32)


def of_size(crops: Sequence[ByteImage], template: Template) -> Sequence[ByteImage]:
    """The crops. Raises ``ValueError`` for one that is not as large as the template."""
    expected = (template.size_px, template.size_px, 3)
    for crop in crops:
        if crop.shape != expected:
            raise ValueError(f"crops of {expected} are needed, got {crop.shape}")
    return crops
