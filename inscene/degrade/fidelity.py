"""How near an LQ is to its clean image: PSNR at LQ size, where there is nothing to restore."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inscene.degrade.arrays import ByteImage
from inscene.errors import SampleError
from inscene.quality.psnr import psnr_rgb


def psnr_at_lq_size(lq: ByteImage, clean: ByteImage) -> float:
    """PSNR over the three channels, dB, of an LQ to its clean image reduced by area means.

    Both uint8 height × width × 3. Raises as :func:`reduce_by_area`.
    """
    return psnr_rgb(lq, reduce_by_area(clean, (lq.shape[0], lq.shape[1])))


def reduce_by_area(image: ByteImage, size: tuple[int, int]) -> ByteImage:
    """Area means at ``size`` = (height, width), rounded to 8 bits.

    Where the sides divide, these are the means of s × s blocks; elsewhere output i covers the
    pixels floor(i·n_in/n_out) … ceil((i+1)·n_in/n_out) - 1, so that neighbours share one (adaptive
    average pooling). Raises :class:`SampleError` with reason ``lq_larger_than_hq`` where a side
    would grow.
    """
    if size[0] > image.shape[0] or size[1] > image.shape[1]:
        raise SampleError(
            "lq_larger_than_hq",
            f"{size[1]}x{size[0]}, the clean image is {image.shape[1]}x{image.shape[0]}",
        )
    if image.shape[:2] == size:
        return image
    # Whole numbers until the division: means are exact, whatever the order of the sums.
    sums, high = _sum_rows(image, size[0])
    sums, wide = _sum_rows(np.ascontiguousarray(sums.swapaxes(0, 1)), size[1])
    means = sums.swapaxes(0, 1) / (high[:, None, None] * wide[None, :, None])
    return np.ascontiguousarray(np.rint(means).astype(np.uint8))


def _sum_rows(
    image: npt.NDArray[np.integer], n_out: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The sums of the windows' rows, and how many rows each has."""
    n_in, i = image.shape[0], np.arange(n_out)
    start, end = i * n_in // n_out, -(-(i + 1) * n_in // n_out)
    # reduceat sums from each bound to the next: every second sum is a window's, and the last
    # window ends with the image.
    bounds = np.stack([start, end], axis=1).ravel()[:-1]
    return np.add.reduceat(image, bounds, axis=0, dtype=np.int64)[::2], end - start
