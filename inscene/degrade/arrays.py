"""Array types of the degradation chain. Images are height × width × 3, R first."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

ByteImage: TypeAlias = npt.NDArray[np.uint8]
"""What comes in and goes out: uint8, 0..255."""

FloatImage: TypeAlias = npt.NDArray[np.float32]
"""Between the steps: float32 with white at 1. Blur and bicubic leave 0..1; noise and JPEG clip."""

Kernel: TypeAlias = npt.NDArray[np.float32]
"""Odd and square, sums to 1, applied as a correlation."""
