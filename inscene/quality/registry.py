"""Metrics by key; the code behind one is imported only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from inscene.errors import UsageError
from inscene.suggest import did_you_mean

Measure = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]
"""Restored image and reference, both (H, W, 3) 8-bit RGB, to a score."""


@dataclass(frozen=True)
class Metric:
    key: str
    """What recipes, options and result tables call it: one key, one definition."""
    title: str
    higher_is_better: bool
    decimals: int
    """Shown in tables; stored values are not rounded."""
    entry: str
    """``module:function``."""

    def load(self) -> Measure:
        module, _, function = self.entry.partition(":")
        return cast("Measure", getattr(importlib.import_module(module), function))


METRICS = {
    metric.key: metric
    for metric in (
        Metric("psnr", "PSNR-Y dB", True, 4, "inscene.quality.psnr:psnr_y"),
        Metric("psnr_rgb", "PSNR-RGB dB", True, 4, "inscene.quality.psnr:psnr_rgb"),
        Metric("ssim", "SSIM-Y", True, 4, "inscene.quality.ssim:ssim_y"),
    )
}
"""In the order in which tables show them."""


def find_metric(key: str) -> Metric:
    """Raises :class:`UsageError` for an unknown key, with the nearest known one."""
    if key not in METRICS:
        raise UsageError(f"no metric {key!r}", next_step=did_you_mean(key, METRICS))
    return METRICS[key]
