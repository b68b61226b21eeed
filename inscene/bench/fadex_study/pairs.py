"""One face under every preset: the pairs that FaDeX gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from inscene.degrade import Operator, degrade, load_operator
from inscene.degrade.versions import Version
from inscene.face2scene.config import Enlarge
from inscene.face2scene.face_pair import FacePair
from inscene.faces.align import ByteImage
from inscene.restore.pairing import at_scene_size

if TYPE_CHECKING:
    from inscene.bench.fadex_study.faces import StudyFace


@dataclass(frozen=True)
class Preset:
    name: str
    operator: Operator


def load_presets(names: Sequence[str]) -> tuple[Preset, ...]:
    """Raises ``UsageError`` for a name that is none. Files keep their path as their name where two
    would be named alike."""
    stems = [Path(name).stem for name in names]
    return tuple(
        Preset(stem if stems.count(stem) == 1 else name, load_operator(name))
        for name, stem in zip(names, stems, strict=True)
    )


def face_pairs(
    face: StudyFace, presets: Sequence[Preset], seed: int, enlarge: Enlarge = "bilinear"
) -> Iterator[FacePair]:
    """One a preset, in their order. HQ is the clean face itself; LQ the same box of the degraded
    scene, enlarged to the scene's size as the checkpoint has it and never resampled after that.

    The LQ is bit for bit that of ``inscene degrade --preset``: its version 0 with this seed.
    Raises ``SampleError``.
    """
    height, width = face.scene.shape[:2]
    noise_seed = Version(face.sha256, 0, seed).noise_seed
    clean = _tensor(face.box.crop(face.scene))
    for preset in presets:
        small = degrade(face.scene, preset.operator, noise_seed)
        lq = at_scene_size(small, (height, width), enlarge)
        yield FacePair(_tensor(face.box.crop(lq)), clean)


def _tensor(image: ByteImage) -> torch.Tensor:
    """Height × width × 3 bytes to 3 × height × width, −1..1, float32."""
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return planes.to(torch.float32) / 127.5 - 1
