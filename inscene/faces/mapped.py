"""Faces between a photo and a reduced or cropped copy of it."""

from __future__ import annotations

import cv2
import numpy as np

from inscene.faces.align import ByteImage
from inscene.faces.face import Face, Points


def mapped(points: Points, scale: float, x_px: float = 0.0, y_px: float = 0.0) -> Points:
    """n × 2 points of an image in the copy that begins at its pixel (x, y) and is ``scale`` times
    as large. The centre of the upper left pixel is (0, 0) in both."""
    return (np.asarray(points, np.float64) - (x_px, y_px) + 0.5) * scale - 0.5


def mapped_face(face: Face, scale: float, x_px: float = 0.0, y_px: float = 0.0) -> Face:
    """A face as :func:`mapped` has its points."""
    corners = mapped(np.reshape(face.bbox, (2, 2)), scale, x_px, y_px)
    x0, y0, x1, y1 = (float(value) for value in corners.ravel())
    return Face((x0, y0, x1, y1), face.score, mapped(face.landmarks5, scale, x_px, y_px))


def reduced(image: ByteImage, short_side_px: int) -> tuple[ByteImage, float]:
    """The image with this shorter side, and how many times as large it is; never enlarged. Areas
    are averaged, so that nothing aliases."""
    height, width = image.shape[:2]
    if min(height, width) <= short_side_px:
        return image, 1.0
    scale = short_side_px / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale
