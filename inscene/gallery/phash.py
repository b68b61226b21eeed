"""The perceptual hash of a scene, and the step that stores it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inscene import images
from inscene.engine.rows import Call, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext

_SIDE, _LOW = 32, 8


def phash(pixels: NDArray[np.uint8]) -> str:
    """64 bits as 16 hex digits: which of the 8x8 lowest frequencies are above their median.

    As the ``imagehash`` package defines it (luma, 32x32 by Lanczos, DCT-II of columns and rows),
    whose hashes these can be compared with. ``pixels``: (H, W, 3) uint8 RGB.
    """
    from scipy.fft import dctn  # 0.1 s that readers need not pay

    luma = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    low = dctn(np.asarray(luma, np.float64), type=2)[:_LOW, :_LOW]
    low = np.round(low, 6)  # what is equal but for the order of additions stays equal
    bits = np.packbits(low > np.median(low))
    return bits.tobytes().hex()


def as_int(phash: str) -> int:
    return int(phash, 16)


@dataclass(frozen=True)
class PHash(Step):
    """Store what duplicates are known by: ``phash``, and ``pixels_sha256`` of the same pixels.

    It belongs where the scene has its final frame: before that, one photo cut in two ways would
    count as two.
    """

    def setup(self, context: StepContext) -> Call:
        def store(row: Row) -> Outcome:
            assert row.pixels is not None, "decode comes first"
            row.columns["phash"] = phash(row.pixels)
            row.columns["pixels_sha256"] = images.pixel_hash(row.pixels)
            return Keep((row,))

        return row_by_row(store)
