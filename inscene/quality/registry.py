"""Metrics by key; the code behind one is imported only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from inscene.errors import UsageError
from inscene.suggest import did_you_mean

ByteImage = NDArray[np.uint8]


class Scorer(Protocol):
    """A metric that is loaded."""

    def __call__(self, images: Sequence[ByteImage], references: Sequence[ByteImage]) -> list[Any]:
        """A score for each of n images (uint8 RGB, height × width × 3, all of one size);
        ``references`` are as many of the same size, or none for a metric that needs none. Of a
        metric of sets, the features of each image: float32 vectors.

        Raises ``SampleError`` where images like these have no score.
        """


@dataclass(frozen=True)
class Metric:
    key: str
    """What recipes, options and result tables call it: one key, one definition."""
    title: str
    higher_is_better: bool
    decimals: int
    """Shown in tables; stored values are not rounded."""
    entry: str
    """``module:Class``; called without arguments it loads."""
    reference: bool = True
    """Whether it compares with the clean image."""
    of: Literal["image", "set"] = "image"
    """A metric of sets has no value for one image: a board has one value of it."""
    weights: tuple[str, ...] = ()
    """Names in ``manifests/weights.yaml``: all whose files decide a value, the own one first."""
    packages: tuple[str, ...] = ()
    """Distributions beyond the base installation."""

    def load(self) -> Scorer:
        """Raises ``MachineError`` for weights or packages that are not here."""
        module, _, name = self.entry.partition(":")
        scorer: Scorer = getattr(importlib.import_module(module), name)()
        return scorer


_PYIQA = ("pyiqa", "torch")

METRICS = {
    metric.key: metric
    for metric in (
        Metric("dists", "DISTS", False, 4, "inscene.quality.dists:Dists",
               weights=("dists", "vgg16-imagenet"), packages=_PYIQA),
        Metric("lpips", "LPIPS", False, 4, "inscene.quality.lpips:Lpips",
               weights=("lpips", "alexnet-imagenet"), packages=_PYIQA),
        Metric("lpips_vgg", "LPIPS-VGG", False, 4, "inscene.quality.lpips:LpipsVgg",
               weights=("lpips-vgg", "vgg16-imagenet"), packages=_PYIQA),
        Metric("psnr", "PSNR-Y dB", True, 4, "inscene.quality.psnr:PsnrY"),
        Metric("psnr_rgb", "PSNR-RGB dB", True, 4, "inscene.quality.psnr:PsnrRgb"),
        Metric("ssim", "SSIM-Y", True, 4, "inscene.quality.ssim:SsimY"),
        Metric("fid", "FID", False, 2, "inscene.quality.fid:InceptionFeatures",
               of="set", weights=("fid-inception",), packages=_PYIQA),
        Metric("musiq", "MUSIQ", True, 4, "inscene.quality.learned:Musiq",
               reference=False, weights=("musiq",), packages=_PYIQA),
        Metric("clipiqa", "CLIP-IQA", True, 4, "inscene.quality.clip_iqa:ClipIqa",
               reference=False, weights=("clip-rn50",), packages=_PYIQA),
        Metric("maniqa", "MANIQA", True, 4, "inscene.quality.maniqa:Maniqa",
               reference=False, weights=("maniqa",), packages=_PYIQA),
        Metric("maniqa_pipal", "MANIQA-PIPAL", True, 4, "inscene.quality.maniqa:ManiqaPipal",
               reference=False, weights=("maniqa-pipal",), packages=_PYIQA),
        Metric("liqe", "LIQE", True, 4, "inscene.quality.liqe:Liqe",
               reference=False, weights=("liqe",), packages=_PYIQA),
        Metric("topiq_nr", "TOPIQ", True, 4, "inscene.quality.learned:TopiqNr",
               reference=False, weights=("topiq-nr",), packages=_PYIQA),
        Metric("arcface", "ArcFace", True, 4, "inscene.quality.identity:ArcFaceSimilarity",
               weights=("buffalo_l",), packages=("insightface", "onnxruntime")),
    )
}  # fmt: skip
"""In the order in which tables show them."""

WITHOUT_WEIGHTS = tuple(key for key, metric in METRICS.items() if not metric.weights)
TEN = ("dists", "lpips", "psnr", "ssim", "fid", "musiq", "clipiqa", "maniqa", "liqe", "topiq_nr")
"""Those of the paper's tables."""


def find_metric(key: str) -> Metric:
    """Raises :class:`UsageError` for an unknown key, with the nearest known one."""
    if key not in METRICS:
        raise UsageError(f"no metric {key!r}", next_step=did_you_mean(key, METRICS))
    return METRICS[key]
