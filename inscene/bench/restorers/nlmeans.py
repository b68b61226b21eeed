"""Non-local means at LQ size, then bicubic enlargement: the stronger classical baseline."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from inscene.bench.restorers.bicubic import bicubic

# Below, scikit-image's estimate is texture rather than noise (and with 0, nlmeans divides by it).
_LEAST_SIGMA = 0.5 / 255
_PATCH_PX = 5


def nlmeans(
    lq: NDArray[np.uint8],
    size: tuple[int, int],
    *,
    strength: float = 0.6,
    search_radius_px: int = 6,
) -> NDArray[np.uint8]:
    """Denoise as much as the image's own noise asks for, then enlarge.

    The noise's sigma is estimated from the image (wavelet coefficients, median rule), and
    ``strength`` is the filter's cut-off in units of it. Over 29 photographs with two-order
    degradations, 0.6 was better in PSNR and SSIM than 0.8 and 1.0, and this filter better than
    OpenCV's non-local means, the bilateral filter and wavelet shrinkage; total variation after
    enlarging came level, at ten times the time.
    """
    from skimage.restoration import denoise_nl_means, estimate_sigma

    if min(lq.shape[:2]) < _PATCH_PX:
        return bicubic(lq, size)  # no patch fits: there is nothing to compare, so nothing to remove
    image = lq.astype(np.float64) / 255.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a flat channel has no estimate: NaN
        estimates = [s for s in estimate_sigma(image, channel_axis=-1) if np.isfinite(s)]
    sigma = max([_LEAST_SIGMA, float(np.mean(estimates or [0.0]))])
    clean = denoise_nl_means(
        image,
        patch_size=_PATCH_PX,
        patch_distance=search_radius_px,
        h=strength * sigma,
        sigma=sigma,
        fast_mode=True,
        channel_axis=-1,
    )
    return bicubic(np.clip(np.rint(clean * 255.0), 0, 255).astype(np.uint8), size)
