"""Random fields that are pure functions of a key and a position.

Philox4x32 with ten rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): a
word of a stream depends on the key and its place alone; the words pass BigCrush and need no state.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from inscene.degrade.compiled import compiled

NAME = "philox4x32-10 box-muller 1"
"""The generator, the way from its words to normals, and their version: it changes when a field
does."""

Words = npt.NDArray[np.uint32]
Normals = npt.NDArray[np.float32]

CHUNK = 4096
"""Words that are made at a time; word ``i`` of a chunk is output ``i // 1024`` of counter
``i % 1024`` in it, so that each inner loop writes to one place after the other."""

_QUARTER = CHUNK // 4
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_LOW, _HIGH = np.uint64(0xFFFFFFFF), np.uint64(32)
_M0, _M1 = _MULTIPLIERS
_W0, _W1 = _WEYL


@compiled
def fill_words(key: np.uint64, chunk: int, words: Words) -> None:
    """Chunk number ``chunk`` of the stream of a 64-bit key: :data:`CHUNK` uniform 32-bit words."""
    low, high = np.uint32(key & _LOW), np.uint32(key >> _HIGH)
    first = np.uint64(chunk) * np.uint64(_QUARTER)
    for i in range(_QUARTER):
        counter = first + np.uint64(i)
        a, b = np.uint32(counter & _LOW), np.uint32(counter >> _HIGH)
        c, d = np.uint32(0), np.uint32(0)
        k0, k1 = low, high
        for _ in range(10):
            p0, p1 = np.uint64(a) * _M0, np.uint64(c) * _M1
            a, b, c, d = (
                np.uint32(p1 >> _HIGH) ^ b ^ k0,
                np.uint32(p1 & _LOW),
                np.uint32(p0 >> _HIGH) ^ d ^ k1,
                np.uint32(p0 & _LOW),
            )
            k0, k1 = np.uint32(k0 + _W0), np.uint32(k1 + _W1)
        words[i] = a
        words[_QUARTER + i] = b
        words[2 * _QUARTER + i] = c
        words[3 * _QUARTER + i] = d


_HALF = CHUNK // 2
_QUADRANT, _WITHIN = np.uint32(30), np.uint32(0x3FFFFFFF)
_TO_UNIT = np.float32(2.0**-32)
_TO_ANGLE = np.float32(math.pi / 2 * 2.0**-30)
_EIGHTH = np.float32(math.pi / 4)
_MANTISSA, _ONE_BITS = np.uint32(0x007FFFFF), np.uint32(0x3F800000)
_LN2, _SQRT2 = np.float32(math.log(2)), np.float32(math.sqrt(2))
_0, _1, _HALF_1, _M2 = np.float32(0), np.float32(1), np.float32(0.5), np.float32(-2)

# Taylor series; on the intervals below the first term that is left out is less than 1e-7.
_SIN = tuple(np.float32((-1) ** i / math.factorial(2 * i + 1)) for i in range(1, 5))
_COS = tuple(np.float32((-1) ** i / math.factorial(2 * i)) for i in range(1, 6))
_LOG = tuple(np.float32(2 / (2 * i + 1)) for i in range(5))
_S1, _S2, _S3, _S4 = _SIN
_C1, _C2, _C3, _C4, _C5 = _COS
_L0, _L1, _L2, _L3, _L4 = _LOG


@compiled
def fill_normals(key: np.uint64, chunk: int, words: Words, normals: Normals) -> None:
    """Chunk number ``chunk`` of a stream of independent standard normals, by Box and Muller.

    ``words`` is room for the uniform words. Logarithm, sine and cosine are written out because
    library calls would keep the loop out of vector registers; their error is below 3e-7. The radius
    has the full 32 bits of its word, so the tails reach 6.7.
    """
    fill_words(key, chunk, words)
    for i in range(_HALF):
        words[i] |= np.uint32(1)  # never 0, whose logarithm is infinite
        normals[i] = np.float32(words[i]) * _TO_UNIT
    bits = normals.view(np.uint32)
    for i in range(_HALF):
        normals[_HALF + i] = np.float32(np.int32(bits[i] >> np.uint32(23)) - np.int32(127))
        bits[i] = (bits[i] & _MANTISSA) | _ONE_BITS
    for i in range(_HALF):
        # ln of 2^exponent · m, with m in √½..√2: 2·artanh((m - 1)/(m + 1)).
        m, exponent = normals[i], normals[_HALF + i]
        large = m > _SQRT2
        m = m * _HALF_1 if large else m
        exponent = exponent + _1 if large else exponent
        t = (m - _1) / (m + _1)
        tt = t * t
        ln = exponent * _LN2 + t * (_L0 + tt * (_L1 + tt * (_L2 + tt * (_L3 + tt * _L4))))
        radius = np.sqrt(max(_M2 * ln, _0))
        turn = words[_HALF + i]
        angle = np.float32(np.int32(turn & _WITHIN)) * _TO_ANGLE - _EIGHTH
        aa = angle * angle
        sin = angle * (_1 + aa * (_S1 + aa * (_S2 + aa * (_S3 + aa * _S4))))
        cos = _1 + aa * (_C1 + aa * (_C2 + aa * (_C3 + aa * (_C4 + aa * _C5))))
        quadrant = turn >> _QUADRANT
        swapped = (quadrant & np.uint32(1)) != np.uint32(0)
        x, y = (-sin, cos) if swapped else (cos, sin)
        if quadrant >= np.uint32(2):
            x, y = -x, -y
        normals[i] = radius * x
        normals[_HALF + i] = radius * y
