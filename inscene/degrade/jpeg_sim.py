"""JPEG artefacts in float arithmetic, as DiffJPEG makes them (the copy in BasicSR 8d56e3a).

Nothing is rounded but the DCT coefficients, and the quality is a real number. Next to a JPEG
library it has black beyond the right and bottom border, the luminance table transposed, tables that
are neither rounded nor kept above 1, and chroma enlarged by repetition. At quality 100 the original
divides 0 by 0; here the steps are 1, as in a library.

The image is worked on in tiles of 16 × 256 pixels, which stay in the nearest cache: two strips of 8
rows of luma and one of chroma, Cb in its left half and Cr in its right.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inscene.degrade.arrays import FloatImage
from inscene.degrade.compiled import compiled

Steps = npt.NDArray[np.float32]
Strip = npt.NDArray[np.float32]
"""8 rows of 256, one after the other. The length is fixed so that the compiler knows that rows do
not overlap, and may use vector registers."""

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


def step_sizes(table: npt.NDArray[np.float64], quality: float) -> Steps:
    """Quantisation steps, 8 × 8, of a table at a real-valued quality; never 0."""
    if quality >= 100:
        return np.ones((8, 8), np.float32)
    factor = 50 / quality if quality < 50 else 2 - quality / 50
    return (table * factor).astype(np.float32)


def simulate(image: FloatImage, quality: float) -> None:
    """Turn an image (3 × height × width, clipped to 0..1) in place into what is left of it at
    ``quality`` (1..100, as in libjpeg); 0..1."""
    _simulate(image, step_sizes(LUMINANCE, quality), step_sizes(CHROMINANCE, quality))


_WIDTH = 256
_HALF = _WIDTH // 2
_BLOCKS = _WIDTH // 8

_0, _1, _255, _128 = np.float32(0), np.float32(1), np.float32(255), np.float32(128)
_QUARTER = np.float32(0.25)
# JFIF's YCbCr about zero: its +128 on chroma and the codec's -128 on every plane.
_Y_R, _Y_G, _Y_B = np.float32(0.299), np.float32(0.587), np.float32(0.114)
_CB_R, _CB_G, _CB_B = np.float32(-0.168736), np.float32(-0.331264), np.float32(0.5)
_CR_R, _CR_G, _CR_B = np.float32(0.5), np.float32(-0.418688), np.float32(-0.081312)
_R_CR, _B_CB = np.float32(1.402), np.float32(1.772)
_G_CB, _G_CR = np.float32(0.344136), np.float32(0.714136)


@compiled
def _simulate(image: FloatImage, luma_steps: Steps, chroma_steps: Steps) -> None:
    luma = np.empty((2, 8 * _WIDTH), np.float32)
    chroma = np.empty(8 * _WIDTH, np.float32)
    turned = np.empty(8 * _WIDTH, np.float32)
    for top in range(0, image.shape[1], 16):
        for left in range(0, image.shape[2], _WIDTH):
            _load(image, top, left, luma, chroma)
            _quantise(luma[0], luma_steps, turned)
            _quantise(luma[1], luma_steps, turned)
            _quantise(chroma, chroma_steps, turned)
            _store(luma, chroma, top, left, image)


@compiled
def _load(image: FloatImage, top: int, left: int, luma: FloatImage, chroma: Strip) -> None:
    cb, cr = np.empty(_WIDTH, np.float32), np.empty(_WIDTH, np.float32)
    length = min(_WIDTH, image.shape[2] - left)
    for row in range(16):
        y = top + row
        line = luma[row // 8, row % 8 * _WIDTH : (row % 8 + 1) * _WIDTH]
        line[:] = -_128
        cb[:] = _0
        cr[:] = _0
        if y < image.shape[1]:
            red = image[0, y, left : left + length]
            green = image[1, y, left : left + length]
            blue = image[2, y, left : left + length]
            for x in range(length):
                r = min(max(red[x], _0), _1) * _255
                g = min(max(green[x], _0), _1) * _255
                b = min(max(blue[x], _0), _1) * _255
                line[x] = _Y_R * r + _Y_G * g + _Y_B * b - _128
                cb[x] = _CB_R * r + _CB_G * g + _CB_B * b
                cr[x] = _CR_R * r + _CR_G * g + _CR_B * b
        blue_line = chroma[row // 2 * _WIDTH : row // 2 * _WIDTH + _HALF]
        red_line = chroma[row // 2 * _WIDTH + _HALF : (row // 2 + 1) * _WIDTH]
        if row % 2 == 0:
            for x in range(_HALF):
                blue_line[x] = _QUARTER * (cb[2 * x] + cb[2 * x + 1])
                red_line[x] = _QUARTER * (cr[2 * x] + cr[2 * x + 1])
        else:
            for x in range(_HALF):
                blue_line[x] += _QUARTER * (cb[2 * x] + cb[2 * x + 1])
                red_line[x] += _QUARTER * (cr[2 * x] + cr[2 * x + 1])


@compiled
def _store(luma: FloatImage, chroma: Strip, top: int, left: int, image: FloatImage) -> None:
    cb, cr = np.empty(_WIDTH, np.float32), np.empty(_WIDTH, np.float32)
    length = min(_WIDTH, image.shape[2] - left)
    for row in range(min(16, image.shape[1] - top)):
        line = luma[row // 8, row % 8 * _WIDTH : (row % 8 + 1) * _WIDTH]
        if row % 2 == 0:
            start = row // 2 * _WIDTH
            for x in range(_HALF):
                cb[2 * x] = cb[2 * x + 1] = chroma[start + x]
                cr[2 * x] = cr[2 * x + 1] = chroma[start + _HALF + x]
        red = image[0, top + row, left : left + length]
        green = image[1, top + row, left : left + length]
        blue = image[2, top + row, left : left + length]
        for x in range(length):
            y = line[x] + _128
            red[x] = min(max(y + _R_CR * cr[x], _0), _255) / _255
            green[x] = min(max(y - _G_CB * cb[x] - _G_CR * cr[x], _0), _255) / _255
            blue[x] = min(max(y + _B_CB * cb[x], _0), _255) / _255


@compiled
def _quantise(strip: Strip, steps: Steps, turned: Strip) -> None:
    """Round the 8 × 8 DCT coefficients, half to even, to multiples of their steps; ``turned`` is
    room for the transposed blocks."""
    _dct(strip)
    # turned[u, v, block]: horizontal frequencies, or places, become rows of their own.
    for v in range(8):
        for block in range(_BLOCKS):
            for u in range(8):
                turned[u * _WIDTH + v * _BLOCKS + block] = strip[v * _WIDTH + block * 8 + u]
    _dct(turned)
    for u in range(8):
        for v in range(8):
            step = steps[v, u]
            first = u * _WIDTH + v * _BLOCKS
            for i in range(first, first + _BLOCKS):
                turned[i] = np.rint(turned[i] / step) * step
    _inverse_dct(turned)
    for v in range(8):
        for block in range(_BLOCKS):
            for u in range(8):
                strip[v * _WIDTH + block * 8 + u] = turned[u * _WIDTH + v * _BLOCKS + block]
    _inverse_dct(strip)


_FREQUENCY, _PLACE = np.arange(8)[:, None], np.arange(8)[None, :]
_C = np.cos((2 * _PLACE + 1) * _FREQUENCY * np.pi / 16) / 2
_C[0] /= np.sqrt(2)
_C = _C.astype(np.float32)
"""The orthonormal DCT: frequencies × places. Even rows are even about the middle, odd ones odd."""


@compiled
def _dct(s: Strip) -> None:
    """Along the columns of a strip, in place."""
    for x in range(_WIDTH):
        a0, a1, a2, a3 = s[x], s[_WIDTH + x], s[2 * _WIDTH + x], s[3 * _WIDTH + x]
        a7, a6, a5, a4 = s[7 * _WIDTH + x], s[6 * _WIDTH + x], s[5 * _WIDTH + x], s[4 * _WIDTH + x]
        s0, s1, s2, s3 = a0 + a7, a1 + a6, a2 + a5, a3 + a4
        d0, d1, d2, d3 = a0 - a7, a1 - a6, a2 - a5, a3 - a4
        s[x] = _C[0, 0] * s0 + _C[0, 1] * s1 + _C[0, 2] * s2 + _C[0, 3] * s3
        s[_WIDTH + x] = _C[1, 0] * d0 + _C[1, 1] * d1 + _C[1, 2] * d2 + _C[1, 3] * d3
        s[2 * _WIDTH + x] = _C[2, 0] * s0 + _C[2, 1] * s1 + _C[2, 2] * s2 + _C[2, 3] * s3
        s[3 * _WIDTH + x] = _C[3, 0] * d0 + _C[3, 1] * d1 + _C[3, 2] * d2 + _C[3, 3] * d3
        s[4 * _WIDTH + x] = _C[4, 0] * s0 + _C[4, 1] * s1 + _C[4, 2] * s2 + _C[4, 3] * s3
        s[5 * _WIDTH + x] = _C[5, 0] * d0 + _C[5, 1] * d1 + _C[5, 2] * d2 + _C[5, 3] * d3
        s[6 * _WIDTH + x] = _C[6, 0] * s0 + _C[6, 1] * s1 + _C[6, 2] * s2 + _C[6, 3] * s3
        s[7 * _WIDTH + x] = _C[7, 0] * d0 + _C[7, 1] * d1 + _C[7, 2] * d2 + _C[7, 3] * d3


@compiled
def _inverse_dct(s: Strip) -> None:
    """Along the columns of a strip, in place."""
    for x in range(_WIDTH):
        c0, c1, c2, c3 = s[x], s[_WIDTH + x], s[2 * _WIDTH + x], s[3 * _WIDTH + x]
        c4, c5, c6, c7 = s[4 * _WIDTH + x], s[5 * _WIDTH + x], s[6 * _WIDTH + x], s[7 * _WIDTH + x]
        e0 = _C[0, 0] * c0 + _C[2, 0] * c2 + _C[4, 0] * c4 + _C[6, 0] * c6
        e1 = _C[0, 1] * c0 + _C[2, 1] * c2 + _C[4, 1] * c4 + _C[6, 1] * c6
        e2 = _C[0, 2] * c0 + _C[2, 2] * c2 + _C[4, 2] * c4 + _C[6, 2] * c6
        e3 = _C[0, 3] * c0 + _C[2, 3] * c2 + _C[4, 3] * c4 + _C[6, 3] * c6
        o0 = _C[1, 0] * c1 + _C[3, 0] * c3 + _C[5, 0] * c5 + _C[7, 0] * c7
        o1 = _C[1, 1] * c1 + _C[3, 1] * c3 + _C[5, 1] * c5 + _C[7, 1] * c7
        o2 = _C[1, 2] * c1 + _C[3, 2] * c3 + _C[5, 2] * c5 + _C[7, 2] * c7
        o3 = _C[1, 3] * c1 + _C[3, 3] * c3 + _C[5, 3] * c5 + _C[7, 3] * c7
        s[x], s[7 * _WIDTH + x] = e0 + o0, e0 - o0
        s[_WIDTH + x], s[6 * _WIDTH + x] = e1 + o1, e1 - o1
        s[2 * _WIDTH + x], s[5 * _WIDTH + x] = e2 + o2, e2 - o2
        s[3 * _WIDTH + x], s[4 * _WIDTH + x] = e3 + o3, e3 - o3
