"""Faces as restorers of different quality would give them: the paper's Table 9.

The perturbation itself is lost; what the paper has are the scores of its faces (PSNR 25.65, 24.73
and 22.98 dB; LPIPS .375, .403, .452), with *medium* being its restorer's own output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from inscene.degrade.arrays import to_bytes, to_planes
from inscene.degrade.resize import resize
from inscene.errors import SampleError
from inscene.faces.align import ByteImage
from inscene.quality.psnr import psnr_y
from inscene.restore.ref_fr.base import AlignedFace, RefFR, clean
from inscene.restore.ref_fr.normals import normals

Level = Literal["good", "medium", "bad"]
LEVELS: tuple[Level, ...] = ("good", "medium", "bad")


@dataclass(frozen=True)
class Quality:
    """The numbers behind the levels."""

    good_gt_share: float = 0.1
    """Of the clean face in the mix that is *good*. [chosen] It lowers the squared error to 0.9² =
    0.81 of the restorer's; the paper's PSNRs differ by a factor of 0.809."""
    bad_noise: float = 0.0409
    """Standard deviation of the noise on *bad*, white being 1. [chosen] It adds the squared error
    by which the paper's PSNRs differ (0.00167); its SSIM falls as noise makes it fall."""
    good_psnr_db: float = 25.65
    """[paper] This and the next two: what :class:`PerturbedGT` is noised to."""
    medium_psnr_db: float = 24.73
    bad_psnr_db: float = 22.98
    tolerance_db: float = 0.05
    """[chosen] A tenth of what sets *good* apart from *medium* is 0.09 dB."""
    low_pass: int = 2
    """[chosen] Clean faces are made this much smaller and larger again: restored ones lack the
    finest detail."""

    def psnr_db(self, level: Level) -> float:
        return {
            "good": self.good_psnr_db,
            "medium": self.medium_psnr_db,
            "bad": self.bad_psnr_db,
        }[level]


class Perturbed:
    """A restorer's output, made better or worse. *good* looks at the clean face."""

    def __init__(self, inner: RefFR, level: Level, quality: Quality | None = None) -> None:
        self._inner, self._level, self._quality = inner, level, quality or Quality()
        self.name = f"perturbed:{level}:{inner.name}"
        self.needs_gt = inner.needs_gt or level == "good"
        self.needs_references = inner.needs_references
        self.draws = inner.draws or level == "bad"
        self.on_gpu = inner.on_gpu

    def restore(self, faces: Sequence[AlignedFace]) -> list[ByteImage | SampleError]:
        restored = self._inner.restore(faces)
        return [
            output if isinstance(output, SampleError) else self._perturb(output, face)
            for output, face in zip(restored, faces, strict=True)
        ]

    def _perturb(self, restored: ByteImage, face: AlignedFace) -> ByteImage:
        if self._level == "good":
            share = np.float32(self._quality.good_gt_share)
            mixed = (1 - share) * restored.astype(np.float32) + share * clean(face, self.name)
            return np.rint(mixed).astype(np.uint8)
        if self._level == "bad":
            return noised(restored, self._quality.bad_noise, face.seed)
        return restored

    def fingerprint(self) -> dict[str, Any]:
        return {
            "ref_fr": self.name,
            "quality": asdict(self._quality),
            "of": self._inner.fingerprint(),
        }

    def missing(self) -> list[str]:
        return self._inner.missing()


class PerturbedGT:
    """Where there is no restorer: the clean face without its finest detail, under as much noise as
    brings it to the level's PSNR (luma).

    A face that is below it without any noise has no output (``level_out_of_reach``).
    """

    needs_gt, needs_references, draws, on_gpu = True, False, True, False

    def __init__(self, level: Level, quality: Quality | None = None) -> None:
        self._level, self._quality = level, quality or Quality()
        self.name = f"perturbed:{level}"

    def restore(self, faces: Sequence[AlignedFace]) -> list[ByteImage | SampleError]:
        return [self._one(face) for face in faces]

    def _one(self, face: AlignedFace) -> ByteImage | SampleError:
        try:
            return self._to_level(clean(face, self.name), face.seed)
        except SampleError as error:
            return error

    def _to_level(self, gt: ByteImage, seed: int) -> ByteImage:
        target_db, tolerance_db = self._quality.psnr_db(self._level), self._quality.tolerance_db
        soft, noise = self._softened(gt), normals((3, *gt.shape[:2]), seed)
        least = to_bytes(soft)
        if psnr_y(least, gt) < target_db - tolerance_db:
            raise SampleError(
                "level_out_of_reach",
                f"{psnr_y(least, gt):.2f} dB without noise, {self._level} is {target_db:g} dB",
            )
        low, high = 0.0, 1.0
        for _ in range(60):  # about ten are needed
            sigma = (low + high) / 2
            image = to_bytes(soft + np.float32(sigma) * noise)
            found_db = psnr_y(image, gt)
            if abs(found_db - target_db) <= tolerance_db:
                return image
            low, high = (sigma, high) if found_db > target_db else (low, sigma)
        raise SampleError("level_out_of_reach", f"no noise gives {target_db:g} dB")

    def _softened(self, gt: ByteImage) -> npt.NDArray[np.float32]:
        planes = to_planes(gt)
        height, width = gt.shape[:2]
        factor = self._quality.low_pass
        small = resize(planes, (height // factor, width // factor), "bicubic")
        return resize(small, (height, width), "bicubic")

    def fingerprint(self) -> dict[str, Any]:
        return {"ref_fr": self.name, "quality": asdict(self._quality)}

    def missing(self) -> list[str]:
        return []


def noised(image: ByteImage, sigma: float, seed: int) -> ByteImage:
    """White Gaussian noise of this standard deviation, white being 1."""
    noise = normals((3, *image.shape[:2]), seed)
    return to_bytes(to_planes(image) + np.float32(sigma) * noise)
