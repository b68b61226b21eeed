"""Bilateral filter at LQ size, then bicubic enlargement: the stronger classical baseline.

Chosen by measurement over 70 degraded photographs (35 photos, profiles s3diff and realesrgan). Mean
gain over bicubic in PSNR-Y and SSIM-Y: this +0.14 dB and +0.015; non-local means at its best
+0.11 dB and +0.013; total variation +0.09 dB and +0.010; wavelet shrinkage +0.09 dB and +0.010. No
classical filter gains much on this chain: resizing and JPEG have made its noise look like content.
"""

from __future__ import annotations

import warnings

import cv2
import numpy as np
from numpy.typing import NDArray

from inscene.bench.restorers.bicubic import bicubic

_WINDOW_PX = 7
_SPACE_SIGMA_PX = 1.5


def bilateral(
    lq: NDArray[np.uint8],
    size: tuple[int, int],
    *,
    base_sigma: float = 25.0,
    sigmas_of_noise: float = 2.0,
) -> NDArray[np.uint8]:
    """Smooth over colour differences up to ``base_sigma + sigmas_of_noise * noise``, then enlarge.

    In levels of 255. The noise is estimated from the image (wavelet coefficients, median rule);
    that sees the finest scale only, hence the base.
    """
    colour_sigma = base_sigma + sigmas_of_noise * _noise_sigma(lq)
    smooth = cv2.bilateralFilter(lq, _WINDOW_PX, colour_sigma, _SPACE_SIGMA_PX)
    return bicubic(smooth, size)


def _noise_sigma(image: NDArray[np.uint8]) -> float:
    from skimage.restoration import estimate_sigma

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of flat channels (no estimate: NaN) and narrow images
        estimates = estimate_sigma(image, channel_axis=-1)
    known = [sigma for sigma in estimates if np.isfinite(sigma)]
    return float(np.mean(known)) if known else 0.0
