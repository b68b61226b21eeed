"""Unsharp masking of the GT, as Real-ESRGAN (BasicSR 8d56e3a) does before it degrades."""

from __future__ import annotations

import numpy as np

from inscene.degrade.arrays import FloatImage
from inscene.degrade.blur import blur
from inscene.degrade.passes import one_pass

SIZE = 51
SIGMA = 8.0  # px; OpenCV's rule for this size, which is what the original leaves it to
AMOUNT = 0.5
THRESHOLD = 10 / 255  # below this difference to the blurred image nothing is sharpened


def sharpen(image: FloatImage) -> FloatImage:
    """Sharpen where there is detail; 0..1 in and out.

    The mask of detail is blurred too, so that sharpening fades in. Both blurs run as a row and a
    column pass: a dense 51 × 51 kernel gives the same image for sixty times the work.
    """
    residual = image - _blur(image)
    mask = (np.abs(residual) > THRESHOLD).astype(np.float32)
    soft = _blur(mask)
    sharp = np.clip(image + np.float32(AMOUNT) * residual, 0, 1)
    sharpened: FloatImage = soft * sharp + (1 - soft) * image
    return sharpened


def _blur(image: FloatImage) -> FloatImage:
    offsets = np.arange(SIZE) - SIZE // 2
    line = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    line = (line / line.sum())[None, :]
    return blur(image, one_pass(line, line))
