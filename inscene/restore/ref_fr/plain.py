"""Two that restore nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inscene.errors import SampleError
from inscene.faces.align import ByteImage
from inscene.restore.ref_fr.base import AlignedFace, clean


class GroundTruth:
    """The clean face itself: what a perfect restorer would give. [paper] Used for all scenes of
    people without references, and for further pairs of those with."""

    name = "gt"
    needs_gt, needs_references, draws, on_gpu = True, False, False, False

    def restore(self, faces: Sequence[AlignedFace]) -> list[ByteImage | SampleError]:
        return [clean(face, self.name) for face in faces]

    def fingerprint(self) -> dict[str, Any]:
        return {"ref_fr": self.name}

    def missing(self) -> list[str]:
        return []


class Identity:
    """The LQ face as it is, for tests: a pair of it says nothing about the degradation."""

    name = "identity"
    needs_gt, needs_references, draws, on_gpu = False, False, False, False

    def restore(self, faces: Sequence[AlignedFace]) -> list[ByteImage | SampleError]:
        return [face.lq for face in faces]

    def fingerprint(self) -> dict[str, Any]:
        return {"ref_fr": self.name}

    def missing(self) -> list[str]:
        return []
