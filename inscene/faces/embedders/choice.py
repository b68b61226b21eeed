"""Recognisers by name, each with its weights and the threshold that was found for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from inscene.errors import RecipeError
from inscene.faces.embedders import FaceEmbedder
from inscene.threads import model_threads
from inscene.weights.locate import find_file, hash_of

Cosine = Annotated[float, Field(ge=-1, le=1)]
Least = Cosine | Literal["published", "none"]
"""Smallest cosine that is kept: a number, that of the embedder, or any."""


@dataclass(frozen=True)
class KnownEmbedder:
    name: str
    weight: str
    file: str
    min_similarity: float | None
    """Cosine from which on two faces count as one person; None where nobody has published one for
    this use. A threshold of one recogniser says nothing about another's cosines."""
    _open: Callable[[KnownEmbedder, Path], FaceEmbedder]

    def least(self, written: Least) -> float:
        """A threshold as a recipe has it, in numbers. Raises ``RecipeError`` where there is none
        published."""
        if written == "none":
            return -1.0
        if written != "published":
            return written
        if self.min_similarity is None:
            raise RecipeError(
                f"nobody has published a threshold for {self.name}",
                next_step="Give min a number, or none.",
            )
        return self.min_similarity

    def open(self) -> FaceEmbedder:
        """Load it, once a process. Raises ``MachineError`` for weights or packages that are not
        here."""
        return _opened(self, self.weight_hash())

    def weight_hash(self) -> str:
        """SHA-256. Raises ``MissingWeightError``."""
        return hash_of(self.weight, self.file)


@functools.lru_cache(maxsize=2)
def _opened(known: KnownEmbedder, weight_hash: str) -> FaceEmbedder:
    return known._open(known, find_file(known.weight, known.file))


def _arcface(known: KnownEmbedder, path: Path) -> FaceEmbedder:
    from inscene.faces.embedders.arcface import ArcFaceOnnx

    return ArcFaceOnnx(path, name=known.name, threads=model_threads())


def _ir_se50(known: KnownEmbedder, path: Path) -> FaceEmbedder:
    from inscene.faces.embedders.ir_se50 import IrSe50

    return IrSe50(path, threads=model_threads())


EMBEDDERS = {
    known.name: known
    for known in (
        # 0.55: the paper keeps scenes from this cosine to the conditioning reference on (its §4.1).
        KnownEmbedder("w600k_r50", "buffalo_l", "w600k_r50.onnx", 0.55, _arcface),
        KnownEmbedder("glintr100", "antelopev2", "glintr100.onnx", None, _arcface),
        KnownEmbedder("ir_se50", "ir-se-50", "recognition_arcface_ir_se50.pth", None, _ir_se50),
    )
}
