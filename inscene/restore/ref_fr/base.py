"""The interface of a face restorer.

Faces are 8-bit: what restorers of others read and write are files, and a file is what is cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inscene.errors import SampleError
from inscene.faces.align import ByteImage
from inscene.faces.templates import FFHQ_512

SIDE_PX = FFHQ_512.size_px


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """One face to restore. All images are 512 × 512 × 3 uint8 RGB, aligned to FFHQ's template."""

    id: str
    version: int
    lq: ByteImage
    references: tuple[ByteImage, ...] = ()
    """Other photographs of the person."""
    gt: ByteImage | None = None
    """The clean face; only for those that are no restorers, see :attr:`RefFR.needs_gt`."""
    seed: int = 0
    """Of all that is drawn for it; 63 bits, from :mod:`inscene.seeds`."""

    def __post_init__(self) -> None:
        images = (self.lq, *self.references, *([] if self.gt is None else [self.gt]))
        for image in images:
            if image.shape != (SIDE_PX, SIDE_PX, 3) or image.dtype != "uint8":
                raise ValueError(
                    f"an aligned face is {SIDE_PX} × {SIDE_PX} × 3 uint8, got {image.dtype} "
                    f"{image.shape}"
                )


class RefFR(Protocol):
    """Made cheaply: what is slow is loaded at the first face."""

    @property
    def name(self) -> str:
        """What datasets record."""

    @property
    def needs_gt(self) -> bool:
        """It looks at the clean face: a stand-in, of no use where there is none."""

    @property
    def needs_references(self) -> bool:
        """It restores with photographs of the person, and not without."""

    @property
    def draws(self) -> bool:
        """Its output depends on the face's seed. (Other programs have a seed of their own.)"""

    @property
    def on_gpu(self) -> bool:
        """It runs a model that wants a GPU."""

    def restore(self, faces: Sequence[AlignedFace]) -> list[ByteImage | SampleError]:
        """One result for each face, in order: 512 × 512 × 3 uint8 RGB, or why there is none. What a
        face becomes must not depend on its company."""

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the output beside the face, as JSON values."""

    def missing(self) -> list[str]:
        """What this machine lacks to run it, a sentence each."""


def restore_one(ref_fr: RefFR, face: AlignedFace) -> ByteImage:
    """Raises ``SampleError`` where there is no output."""
    (output,) = ref_fr.restore([face])
    if isinstance(output, SampleError):
        raise output
    return output


def clean(face: AlignedFace, name: str) -> ByteImage:
    """The clean face. Raises ``SampleError`` where it was not given."""
    if face.gt is None:
        raise SampleError("clean_face_missing", f"{name} makes its output of the clean face")
    return face.gt
