"""What every metric asks of its images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inscene.errors import SampleError


def check_image(image: NDArray[np.uint8]) -> None:
    """Raise :class:`SampleError` unless it is 8-bit RGB."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise SampleError(
            "not_8_bit_rgb", f"got {image.dtype} of shape {image.shape}, wanted uint8 (H, W, 3)"
        )


def check_pair(image: NDArray[np.uint8], reference: NDArray[np.uint8]) -> None:
    """Raise :class:`SampleError` unless both are 8-bit RGB of one size."""
    check_image(image)
    check_image(reference)
    if image.shape != reference.shape:
        got, wanted = image.shape[1::-1], reference.shape[1::-1]
        raise SampleError(
            "size_mismatch", f"got {got[0]}x{got[1]}, the reference is {wanted[0]}x{wanted[1]}"
        )
