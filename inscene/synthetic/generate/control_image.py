"""The control image: where the face is to be, as InfuseNet was trained to read it, or nothing.

Black leaves it to the prompt; so the authors of InScene did it. Otherwise five landmarks are drawn
as InfiniteYou draws them [pipelines/pipeline_infu_flux.py].
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from inscene.errors import SampleError
from inscene.faces.detectors import FaceDetector
from inscene.faces.face import NOSE, Points
from inscene.faces.templates import ARCFACE_112

ByteImage = npt.NDArray[np.uint8]

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255]], np.uint8)
"""RGB of left eye, right eye, nose, left and right corner of the mouth."""
STICK_HALF_PX = 4
STICK_BRIGHTNESS = 0.6
DISC_RADIUS_PX = 10


def black(width: int, height: int) -> ByteImage:
    """No wish: height × width × 3 zeros."""
    return np.zeros((height, width, 3), np.uint8)


def drawn(landmarks5: Points, width: int, height: int) -> ByteImage:
    """Five landmarks in px, on black: an ellipse from the nose to each of the others, dimmed, and
    discs over their ends. uint8 RGB, height × width × 3.

    Raises ``ValueError`` for other points than five that are finite.
    """
    points = np.asarray(landmarks5, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError(f"five points of x and y are needed, got {points.shape}")
    canvas = black(width, height)
    for index in range(5):
        if index != NOSE:
            outline = _stick(points[NOSE], points[index])
            cv2.fillConvexPoly(canvas, outline, COLOURS[index].tolist())
    canvas = (canvas * STICK_BRIGHTNESS).astype(np.uint8)
    for point, colour in zip(points, COLOURS, strict=True):
        centre = (int(point[0]), int(point[1]))
        cv2.circle(canvas, centre, DISC_RADIUS_PX, colour.tolist(), thickness=cv2.FILLED)
    return canvas


def _stick(start: Points, end: Points) -> npt.NDArray[np.int32]:
    """Outline of the ellipse whose long axis joins two points."""
    centre = (start + end) / 2
    dx, dy = start - end
    axes = int(math.hypot(dx, dy) / 2), STICK_HALF_PX
    angle = int(math.degrees(math.atan2(dy, dx)))
    outline = cv2.ellipse2Poly((int(centre[0]), int(centre[1])), axes, angle, 0, 360, 1)
    return np.asarray(outline, np.int32)


def fitted(photo: ByteImage, width: int, height: int) -> ByteImage:
    """A photo brought to the target's shorter side (Lanczos), in the middle of white; what stands
    over is cut. uint8 RGB, height × width × 3."""
    image = Image.fromarray(photo)
    if width <= height:
        size = width, max(1, int(width * image.height / image.width))
    else:
        size = max(1, int(height * image.width / image.height)), height
    page = Image.new("RGB", (width, height), "white")
    page.paste(
        image.resize(size, Image.Resampling.LANCZOS),
        ((width - size[0]) // 2, (height - size[1]) // 2),
    )
    return np.asarray(page)


def drawn_from_photo(
    photo: ByteImage, width: int, height: int, detector: FaceDetector
) -> ByteImage:
    """The largest face of a photo, where it lies once the photo is fitted to the target.

    Raises ``SampleError`` (``no_face_in_control``).
    """
    (faces,) = detector.detect([fitted(photo, width, height)])
    if not faces:
        size = f"{photo.shape[1]} × {photo.shape[0]}"
        raise SampleError("no_face_in_control", f"nobody was found in a photo of {size} px")
    return drawn(faces[0].landmarks5, width, height)


def face_layout(
    width: int,
    height: int,
    *,
    face_height_px: float,
    centre: tuple[float, float] = (0.5, 0.25),
) -> ByteImage:
    """A frontal, upright face of a given height, drawn from the template of aligned faces; so
    distant faces can be asked for without a photo. Its effect on real weights is not measured.

    The template's side is taken for the face's height [chosen: detectors' boxes of aligned faces
    are about as high]. ``centre`` of the face, as shares of width and height [chosen: a standing
    person's head is in the upper third]. Raises ``ValueError`` for a face without height or that
    leaves the image.
    """
    if not 0 < face_height_px <= height:
        raise ValueError(f"a face of {face_height_px} px in an image of {height} px")
    middle = np.array([centre[0] * width, centre[1] * height])
    scale = face_height_px / ARCFACE_112.size_px
    points = (ARCFACE_112.landmarks5 - ARCFACE_112.size_px / 2) * scale + middle
    if (points < 0).any() or (points >= (width, height)).any():
        raise ValueError(f"a face of {face_height_px} px at {centre} leaves {width} × {height}")
    return drawn(points, width, height)
