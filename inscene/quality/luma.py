"""The luma that restoration papers measure on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# ITU-R BT.601, limited range: 8-bit RGB gives 16..235. (Full-range luma, YIQ's, is another channel
# and gives a PSNR 1.32 dB lower.)
_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255.0
_OFFSET = 16.0


def luma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W, 3) 8-bit RGB to (H, W) luma in 16..235, not rounded."""
    weighted: NDArray[np.float64] = image @ _WEIGHTS
    return weighted + _OFFSET
