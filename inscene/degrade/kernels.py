"""Blur kernels of Real-ESRGAN (BasicSR 8d56e3a): six elliptic families and the sinc.

Kernels have the size that was drawn. The original pads all of them to 21 × 21 with zeros, to stack
them in a batch, which changes nothing but the work.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import j1

from inscene.degrade.arrays import Kernel
from inscene.degrade.values import EllipseBlur, SincBlur


def kernel(blur: EllipseBlur | SincBlur) -> Kernel:
    """The size × size kernel, float64 with sum 1; rows go down, columns go right."""
    values = _sinc(blur) if isinstance(blur, SincBlur) else _ellipse(blur)
    return np.asarray(values / values.sum())


def _ellipse(blur: EllipseBlur) -> npt.NDArray[np.float64]:
    y, x = _offsets(blur.size)
    cos, sin = math.cos(blur.theta), math.sin(blur.theta)
    # dᵀΣ⁻¹d with Σ = R(θ)·diag(σx², σy²)·R(θ)ᵀ, written in the ellipse's own axes.
    q = ((cos * x + sin * y) / blur.sigma_x) ** 2 + ((cos * y - sin * x) / blur.sigma_y) ** 2
    values = 1 / (1 + q**blur.beta) if "plateau" in blur.family else np.exp(-0.5 * q**blur.beta)
    return np.asarray(values)


def _sinc(blur: SincBlur) -> npt.NDArray[np.float64]:
    y, x = _offsets(blur.size)
    radius = np.hypot(x, y)
    centre = blur.size // 2
    radius[centre, centre] = 1  # any number but 0: the limit there is set below
    values = blur.cutoff * j1(blur.cutoff * radius) / (2 * math.pi * radius)
    values[centre, centre] = blur.cutoff**2 / (4 * math.pi)
    return np.asarray(values)


def _offsets(size: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Offsets from the centre as a column (y) and a row (x)."""
    line = np.arange(size, dtype=np.float64) - size // 2
    return line[:, None], line[None, :]


def effective_sigma(weights: Kernel) -> float:
    """Root of half a kernel's second moment, px: what a Gaussian's σ is once its tails are cut.

    It says nothing of a sinc, whose second moment can be negative; NaN there.
    """
    y, x = _offsets(len(weights))
    moment = float((weights * (x**2 + y**2)).sum() / weights.sum()) / 2
    return math.sqrt(moment) if moment >= 0 else math.nan
