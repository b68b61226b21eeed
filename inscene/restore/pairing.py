"""A face in its scene: aligned for a face restorer, and paired with its restored self.

The scene here is the LQ at the size of the wanted output (:func:`at_scene_size`). The pair's LQ is
cut out of it and never resampled, so that noise and compression survive; what the restorer made is
brought to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from inscene.errors import SampleError
from inscene.face2scene.config import Enlarge
from inscene.faces.align import Alignment, Box, ByteImage, FloatPlane
from inscene.faces.face import Points

if TYPE_CHECKING:
    import torch

    from inscene.face2scene.face_pair import FacePair


@dataclass(frozen=True, eq=False)
class ScenePair:
    """One face twice, pixel upon pixel."""

    box: Box
    """Where it is in the scene, px."""
    lq: ByteImage
    """height × width × 3 uint8 RGB, as large as the box; the scene's own pixels."""
    hq: ByteImage
    """The restored face, of the same size."""
    valid: FloatPlane
    """0..1: how far each pixel of ``hq`` lies inside the aligned face. Below 1 only where the box
    touches the face's rim."""

    @property
    def side_px(self) -> int:
        """The shorter side."""
        return min(self.box.width, self.box.height)

    def face_pair(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> FacePair:
        """As tensors for the model library: each 3 × height × width, −1..1. float32 by default."""
        import torch

        from inscene.face2scene.face_pair import FacePair

        def tensor(image: ByteImage) -> torch.Tensor:
            planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
            return planes.to(device).to(dtype or torch.float32) / 127.5 - 1

        return FacePair(tensor(self.lq), tensor(self.hq))


@dataclass(frozen=True, eq=False)
class FacePlace:
    """Where one face is in a scene."""

    alignment: Alignment
    box: Box
    scene_size: tuple[int, int]
    """(height, width)"""

    @classmethod
    def of(cls, landmarks5: Points, scene_size: tuple[int, int]) -> FacePlace:
        """The largest upright square inside the aligned face, cut to the scene: at its border a
        rectangle. Both sides are even; small ones are the model library's to pad.

        Raises ``SampleError``: ``landmarks_unusable`` for points that fit no face,
        ``face_without_pixels`` where nothing of it is in the scene.
        """
        try:
            alignment = Alignment.fit(landmarks5)
        except ValueError as error:
            raise SampleError("landmarks_unusable", f"{error}") from error
        box = alignment.square(scene_size)
        if box is None:
            x, y = (float(value) for value in np.asarray(landmarks5).mean(0))
            width_px = alignment.template.size_px * alignment.scene_px
            raise SampleError(
                "face_without_pixels",
                f"{width_px:.3g} px wide at {x:.0f}, {y:.0f} of a scene of "
                f"{scene_size[1]}x{scene_size[0]}",
            )
        return cls(alignment, box, scene_size)

    def align(self, scene: ByteImage) -> ByteImage:
        """512 × 512 × 3 uint8 RGB, FFHQ's template: what face restorers take. Raises ``ValueError``
        for a scene of another size."""
        self._check(scene)
        return self.alignment.align(np.ascontiguousarray(scene))

    def pair(self, scene_lq: ByteImage, restored: ByteImage) -> ScenePair:
        """``restored`` is aligned, 512 × 512 × 3 uint8. Raises ``ValueError`` for other sizes."""
        self._check(scene_lq)
        side_px = self.alignment.template.size_px
        if restored.shape != (side_px, side_px, 3):
            raise ValueError(f"an aligned face of {side_px} px is needed, got {restored.shape}")
        hq, valid = self.alignment.bring_back(np.ascontiguousarray(restored), self.box)
        return ScenePair(self.box, np.ascontiguousarray(self.box.crop(scene_lq)), hq, valid)

    def _check(self, scene: ByteImage) -> None:
        if scene.shape != (*self.scene_size, 3):
            raise ValueError(f"a scene of {self.scene_size} is needed, got {scene.shape}")


def pair_in_scene(scene_lq: ByteImage, landmarks5: Points, restored: ByteImage) -> ScenePair:
    """The face at these landmarks (5 × 2, px of the scene) and what a restorer made of it. Raises
    as :class:`FacePlace`."""
    height, width = scene_lq.shape[:2]
    return FacePlace.of(landmarks5, (height, width)).pair(scene_lq, restored)


def round_trip(face: ByteImage, landmarks5: Points) -> ByteImage:
    """A crop as it is after being aligned and brought back, which is what every restored face has
    been through. ``landmarks5`` in px of the crop, which they are where those of the scene are
    moved by the box's corner.

    For training on clean faces: without it "was never resampled" would tell them from restored
    ones. At its rim, some px wide, it has less to look at than a round trip of the whole scene.
    """
    height, width = face.shape[:2]
    alignment = Alignment.fit(landmarks5)
    back, _ = alignment.bring_back(
        alignment.align(np.ascontiguousarray(face)), Box(0, 0, width, height)
    )
    return back


def at_scene_size(
    lq: ByteImage, scene_size: tuple[int, int], enlarge: Enlarge = "bilinear"
) -> ByteImage:
    """The LQ at the size of its scene, (height, width): the same where it has it already.

    Pixels are areas (torch's ``align_corners=False``). ``enlarge``: as the checkpoint that looks at
    it was trained; bilinear is how S3Diff's inference does it. Raises ``SampleError``
    (``lq_larger_than_scene``).
    """
    height, width = scene_size
    if lq.shape[:2] == scene_size:
        return lq
    if lq.shape[0] > height or lq.shape[1] > width:
        raise SampleError(
            "lq_larger_than_scene", f"{lq.shape[1]}x{lq.shape[0]}, scene {width}x{height}"
        )
    how = cv2.INTER_LINEAR if enlarge == "bilinear" else cv2.INTER_CUBIC
    larger = cv2.resize(np.ascontiguousarray(lq), (width, height), interpolation=how)
    return np.asarray(larger, np.uint8)
