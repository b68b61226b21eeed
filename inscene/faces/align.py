"""Between a face in its scene and an aligned face.

The LQ face is never resampled for the pair that a degradation is read from: it is cropped from the
scene, and the restored face is brought to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inscene.faces.face import Points
from inscene.faces.similarity import Similarity, fit_similarity
from inscene.faces.templates import FFHQ_512, Template

ByteImage = npt.NDArray[np.uint8]
FloatPlane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Box:
    """Whole pixels, x0 and y0 inside and x1 and y1 outside."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    def crop(self, image: ByteImage) -> ByteImage:
        """A view."""
        return image[self.y0 : self.y1, self.x0 : self.x1]


@dataclass(frozen=True)
class Alignment:
    """How one face lies in its scene."""

    to_template: Similarity
    """From px of the scene to px of the template."""
    template: Template

    @classmethod
    def fit(cls, landmarks5: Points, template: Template = FFHQ_512) -> Alignment:
        """Raises ``ValueError`` for landmarks that all coincide."""
        return cls(fit_similarity(landmarks5, template.landmarks5), template)

    @property
    def scene_px(self) -> float:
        """Scene px that one template px covers."""
        return 1 / self.to_template.scale

    def align(self, scene: ByteImage) -> ByteImage:
        """The face as the template has it: bilinear, the border reflected. A face that is larger in
        the scene is smoothed before, so that it does not alias ([chosen] σ of half the excess)."""
        if self.scene_px > 1:
            scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), 0.5 * (self.scene_px - 1)), np.uint8)
        size = (self.template.size_px, self.template.size_px)
        warped = cv2.warpAffine(
            scene,
            self.to_template.matrix,
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return np.asarray(warped, np.uint8)

    def square(self, scene_size: tuple[int, int]) -> Box | None:
        """The largest upright square that lies inside the aligned face, in the scene: all of its
        pixels have a counterpart. Cut to the scene (height, width) and to even sides; None where
        nothing is left.
        """
        angle, template_px = self.to_template.angle, self.template.size_px
        side = template_px * self.scene_px / (abs(math.cos(angle)) + abs(math.sin(angle)))
        middle = np.full((1, 2), template_px / 2)
        ((x, y),) = self.to_template.inverse(middle)
        half, height, width = math.floor(side) / 2, *scene_size
        x0, y0 = max(0, math.ceil(x - half)), max(0, math.ceil(y - half))
        x1, y1 = min(width, math.floor(x + half)), min(height, math.floor(y + half))
        box = Box(x0, y0, x1 - (x1 - x0) % 2, y1 - (y1 - y0) % 2)
        return box if box.width > 0 and box.height > 0 else None

    def bring_back(self, aligned: ByteImage, box: Box) -> tuple[ByteImage, FloatPlane]:
        """An aligned face as it lies in a box of the scene, bicubic; and how valid each pixel is,
        0..1."""
        back = self.to_template.inverse.then_moved(-box.x0, -box.y0).matrix
        size = (box.width, box.height)
        warped = cv2.warpAffine(
            aligned, back, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        inside = np.ones(aligned.shape[:2], np.float32)
        valid = cv2.warpAffine(inside, back, size, flags=cv2.INTER_LINEAR)
        return np.asarray(warped, np.uint8), np.asarray(valid, np.float32)

    def insertion_mask(self, scene_size: tuple[int, int]) -> FloatPlane:
        """How much of an inserted face shows at each pixel of the scene: 1 in its middle, falling
        smoothly to 0 at an ellipse. float32, height × width, 0..1."""
        height, width = scene_size
        mask = cv2.warpAffine(
            _ellipse(self.template.size_px),
            self.to_template.inverse.matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
        )
        return np.asarray(mask, np.float32)


# [chosen] of 512 px: the paper's mask is 1 in the middle and falls gradually to 0 at the edges.
ELLIPSE_AXES_512 = (210.0, 245.0)
SOLID = 0.7
"""[chosen] Up to this share of the radius the inserted face shows alone."""


def _ellipse(size_px: int) -> FloatPlane:
    line = np.arange(size_px, dtype=np.float64) - size_px / 2
    a, b = (axis * size_px / 512 for axis in ELLIPSE_AXES_512)
    radius = np.hypot(line[None, :] / a, line[:, None] / b)
    t = np.clip((1 - radius) / (1 - SOLID), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
