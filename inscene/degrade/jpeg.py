"""JPEG artefacts, simulated as DiffJPEG does (the copy in BasicSR 8d56e3a) or by libjpeg.

The simulation takes a real-valued quality and rounds nothing but the DCT coefficients. Next to a
JPEG library it has black beyond the right and bottom border, the luminance table transposed, tables
that are neither rounded nor kept above 1, and chroma enlarged by repetition. At quality 100 the
original divides 0 by 0; here the steps are 1, as in a library.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

from inscene.degrade.arrays import FloatImage
from inscene.degrade.values import JpegBackend

Plane = npt.NDArray[np.float32]

# ITU-T T.81, tables K.1 and K.2. Rows are vertical frequencies there; the transposition that makes
# them horizontal ones is DiffJPEG's.
LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=np.float64,
).T
CHROMINANCE = np.full((8, 8), 99.0)
CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


def compress(image: FloatImage, quality: float, backend: JpegBackend) -> FloatImage:
    """What is left of an image in 0..1 after JPEG at ``quality`` (1..100, as in libjpeg); 0..1."""
    return _simulate(image, quality) if backend == "sim" else _encode_decode(image, quality)


def step_sizes(table: npt.NDArray[np.float64], quality: float) -> Plane:
    """Quantisation steps, 8 × 8, of a table at a real-valued quality; never 0."""
    if quality >= 100:
        return np.ones((8, 8), np.float32)
    factor = 50 / quality if quality < 50 else 2 - quality / 50
    return (table * factor).astype(np.float32)


def _simulate(image: FloatImage, quality: float) -> FloatImage:
    height, width, _ = image.shape
    padded_shape = (-(-height // 16) * 16, -(-width // 16) * 16)
    red, green, blue = (_padded(image[..., c], padded_shape) for c in range(3))

    # JFIF's YCbCr about zero: its +128 on chroma and the codec's -128 on every plane.
    y = _weighted(red, green, blue, (0.299, 0.587, 0.114)) - np.float32(128)
    cb = _halved(_weighted(red, green, blue, (-0.168736, -0.331264, 0.5)))
    cr = _halved(_weighted(red, green, blue, (0.5, -0.418688, -0.081312)))

    y = _quantised(y, step_sizes(LUMINANCE, quality)) + np.float32(128)
    chroma_steps = step_sizes(CHROMINANCE, quality)
    cb = _doubled(_quantised(cb, chroma_steps))
    cr = _doubled(_quantised(cr, chroma_steps))

    decoded = np.empty((height, width, 3), np.float32)
    channels = (
        y + np.float32(1.402) * cr,
        y - np.float32(0.344136) * cb - np.float32(0.714136) * cr,
        y + np.float32(1.772) * cb,
    )
    for channel, plane in enumerate(channels):
        decoded[..., channel] = plane[:height, :width]
    np.clip(decoded, 0, 255, out=decoded)
    decoded /= np.float32(255)
    return decoded


def _padded(channel: Plane, shape: tuple[int, int]) -> Plane:
    plane = np.zeros(shape, np.float32)
    np.multiply(channel, np.float32(255), out=plane[: channel.shape[0], : channel.shape[1]])
    return plane


def _weighted(a: Plane, b: Plane, c: Plane, weights: tuple[float, float, float]) -> Plane:
    total: Plane = a * np.float32(weights[0])
    total += b * np.float32(weights[1])
    total += c * np.float32(weights[2])
    return total


def _halved(plane: Plane) -> Plane:
    top, bottom = plane[::2], plane[1::2]
    quads = top[:, ::2] + top[:, 1::2] + bottom[:, ::2] + bottom[:, 1::2]
    mean: Plane = quads * np.float32(0.25)
    return mean


def _doubled(plane: Plane) -> Plane:
    return plane.repeat(2, axis=0).repeat(2, axis=1)


def _quantised(plane: Plane, steps: Plane) -> Plane:
    """The plane after rounding its 8 × 8 DCT coefficients, half to even, to multiples of steps."""
    height, width = plane.shape
    blocks = plane.reshape(height // 8, 8, width // 8, 8)
    by_block = steps[None, :, None, :]
    coefficients = fft.dctn(blocks, axes=(1, 3), norm="ortho")
    coefficients /= by_block
    np.rint(coefficients, out=coefficients)
    coefficients *= by_block
    restored: Plane = fft.idctn(coefficients, axes=(1, 3), norm="ortho", overwrite_x=True)
    return restored.reshape(height, width)


def _encode_decode(image: FloatImage, quality: float) -> FloatImage:
    bgr = np.rint(image[..., ::-1] * np.float32(255)).astype(np.uint8)
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        round(quality),
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    _, encoded = cv2.imencode(".jpg", bgr, options)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded just now
    return np.ascontiguousarray(decoded[..., ::-1]).astype(np.float32) / np.float32(255)
