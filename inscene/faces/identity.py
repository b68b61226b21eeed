"""How alike two faces are: cosines of their embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Embedding = npt.NDArray[np.float32]


@dataclass(frozen=True)
class IdentityScore:
    """Cosines, −1..1; None where there was nothing to compare with."""

    conditioning: float | None
    """With the face that the image was made from."""
    gallery_mean: float | None
    """Mean of the cosines with each face of the gallery."""
    gallery_max: float | None


def score_identity(
    embedding: Embedding,
    *,
    conditioning: Embedding | None = None,
    gallery: Embedding | None = None,
) -> IdentityScore:
    """``embedding`` and ``conditioning`` are of d numbers, ``gallery`` n × d (n may be 0), all of
    length 1 and of one recogniser."""
    to_gallery = np.empty(0) if gallery is None else _cosines(gallery, embedding)
    return IdentityScore(
        None if conditioning is None else float(_cosines(conditioning[None], embedding)[0]),
        float(to_gallery.mean()) if to_gallery.size else None,
        float(to_gallery.max()) if to_gallery.size else None,
    )


def _cosines(embeddings: Embedding, embedding: Embedding) -> npt.NDArray[np.float64]:
    # A length of 1 in float32 may give a cosine of 1.0000001.
    return np.clip(embeddings.astype(np.float64) @ embedding.astype(np.float64), -1, 1)
