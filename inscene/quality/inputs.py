"""What every full-reference metric asks of its two images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inscene.errors import SampleError


def check_pair(image: NDArray[np.uint8], reference: NDArray[np.uint8]) -> None:
    """Raise :class:`SampleError` unless both are 8-bit RGB of one size."""
    for array in (image, reference):
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise SampleError(
                "not_8_bit_rgb", f"got {array.dtype} of shape {array.shape}, wanted uint8 (H, W, 3)"
            )
    if image.shape != reference.shape:
        got, wanted = image.shape[1::-1], reference.shape[1::-1]
        raise SampleError(
            "size_mismatch", f"got {got[0]}x{got[1]}, the reference is {wanted[0]}x{wanted[1]}"
        )
