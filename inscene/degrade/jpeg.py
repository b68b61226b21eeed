"""JPEG artefacts: simulated in float arithmetic, or by a JPEG library."""

from __future__ import annotations

import cv2
import numpy as np

from inscene.degrade.arrays import ByteImage, FloatImage, to_bytes, to_planes
from inscene.degrade.jpeg_sim import simulate
from inscene.degrade.values import JpegBackend


def compress(image: FloatImage, quality: float, backend: JpegBackend) -> FloatImage:
    """What is left of an image (3 × height × width, clipped to 0..1) after JPEG at ``quality``
    (1..100, as in libjpeg); 0..1. The image given is used up: its memory may hold the result. A
    library rounds the quality to an integer."""
    if backend == "sim":
        simulate(image, quality)
        return image
    rgb = to_bytes(image)
    # OpenCV takes the first channel for blue.
    swapped = backend == "libjpeg"
    decoded = _encode_decode(rgb[..., ::-1] if swapped else rgb, round(quality))
    return to_planes(decoded[..., ::-1] if swapped else decoded)


def _encode_decode(bgr: ByteImage, quality: int) -> ByteImage:
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(bgr), options)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded just now
    return np.asarray(decoded, np.uint8)
