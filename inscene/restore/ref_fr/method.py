"""A face restorer that is another program: any manifest whose faces are ``aligned512``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inscene.bench.methods import Output, Sample, require
from inscene.bench.methods.command import Command
from inscene.errors import SampleError
from inscene.faces.align import ByteImage
from inscene.restore.ref_fr.base import SIDE_PX, AlignedFace

ALIGNED = "aligned512"


class MethodRefFR:
    """Raises ``MachineError`` at the first face where the repository, its environment or its
    weights are not here."""

    needs_gt = False
    draws = False  # the manifest has the seed
    on_gpu = True

    def __init__(self, command: Command) -> None:
        self._command = command
        self.name = command.name
        self.needs_references = command.manifest.uses("references")

    def restore(self, faces: Sequence[AlignedFace]) -> list[ByteImage | SampleError]:
        if faces:
            require(self._command)
        outputs = self._command.restore_many([self._sample(face) for face in faces])
        return [_checked(output) for output in outputs]

    def _sample(self, face: AlignedFace) -> Sample:
        references = face.references if self.needs_references else ()
        return Sample(face.id, face.version, face.lq, (SIDE_PX, SIDE_PX), references)

    def fingerprint(self) -> dict[str, Any]:
        return self._command.fingerprint()

    def missing(self) -> list[str]:
        return self._command.missing()


def _checked(output: Output | SampleError) -> ByteImage | SampleError:
    if isinstance(output, SampleError):
        return output
    if output.image.shape == (SIDE_PX, SIDE_PX, 3):
        return output.image
    got = "x".join(map(str, output.image.shape[1::-1]))
    return SampleError("wrong_output_size", f"{got}, not {SIDE_PX}x{SIDE_PX}")
