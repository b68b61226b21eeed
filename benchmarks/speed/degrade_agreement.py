"""Do the implementations give the same degradations? The engine and the plain chain beside torch.

Per-image noise hides a shift in the mean of a hundred images, so the test is paired: the same
photos, the same operators, and the difference of each image's PSNR between two implementations. Two
runs of torch with other noise are the yardstick. Without noise the LQ images themselves compare.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import degrade_plain
import degrade_torch
import numpy as np
import numpy.typing as npt
from degrade_photos import crop

from inscene.degrade import Operator, degrade, load_profile
from inscene.seeds import Draws

SIZE_PX = 512
SAME_DB = 60.0

ByteImage = npt.NDArray[np.uint8]
Degrade = Callable[[ByteImage, Operator, int], ByteImage]


@dataclass(frozen=True)
class Paired:
    """PSNR of LQ to the GT reduced by block means: an implementation's less torch's, dB."""

    implementation: str
    psnr_db: float
    """Mean of the implementation's own."""
    difference_db: float
    deviation_db: float
    """Standard deviation of one image's difference."""


@dataclass(frozen=True)
class NoiseFree:
    """PSNR between an implementation's LQ and torch's, 8 bits both; infinite where equal."""

    implementation: str
    same_share: float
    """Of the images, those with ``SAME_DB`` or more."""
    median_db: float
    min_db: float


@dataclass(frozen=True)
class Agreement:
    paired: list[Paired]
    noise_free: list[NoiseFree]
    other_levels: int
    """Images for which torch came to other Poisson levels than the operator has: it takes them from
    the image, so that a dim one gets more noise. They count all the same."""


def compare(photos: list[ByteImage], profile_name: str, count: int) -> Agreement:
    """Registration as torch has it, no sharpening."""
    profile = load_profile(profile_name).with_changes(registration="legacy", usm=False)
    others: dict[str, Degrade] = {
        "torch, other noise": degrade_torch.degrade,
        "engine": degrade,
        "plain": degrade_plain.degrade,
    }
    noisy: dict[str, list[float]] = {name: [] for name in ("torch", *others)}
    clean: dict[str, list[float]] = {name: [] for name in ("engine", "plain")}
    other_levels = 0
    for index in range(count):
        image = crop(photos, SIZE_PX, index)
        draws = Draws("benchmark agreement", profile_name, index)
        operator = Operator.draw(profile, draws)
        reduced = block_means(image, operator.sf)
        degrade_torch.levels_taken.clear()
        lq = degrade_torch.degrade(image, operator, draws.seed("torch"))
        other_levels += degrade_torch.levels_taken.keys() - drawn_levels(operator) != set()
        noisy["torch"].append(psnr_db(lq, reduced))
        for name, other in others.items():
            lq = other(image, operator, draws.seed(name))
            noisy[name].append(psnr_db(lq, reduced))
        noise_free = without_noise(operator)
        lq = degrade_torch.degrade(image, noise_free, 0)
        for name, psnrs in clean.items():
            psnrs.append(psnr_db(others[name](image, noise_free, 0), lq))
    return Agreement(
        [_paired("torch", noisy), *(_paired(name, noisy) for name in others)],
        [_noise_free(name, psnrs) for name, psnrs in clean.items()],
        other_levels,
    )


def _paired(name: str, noisy: dict[str, list[float]]) -> Paired:
    differences = [a - b for a, b in zip(noisy[name], noisy["torch"], strict=True)]
    return Paired(
        name,
        statistics.fmean(noisy[name]),
        statistics.fmean(differences),
        statistics.stdev(differences),
    )


def _noise_free(name: str, psnrs: list[float]) -> NoiseFree:
    same = sum(psnr >= SAME_DB for psnr in psnrs) / len(psnrs)
    return NoiseFree(name, same, statistics.median(psnrs), min(psnrs))


def drawn_levels(operator: Operator) -> set[int | str]:
    noises = [*operator.first.noise, *(operator.second.noise if operator.second else ())]
    return {noise.levels for noise in noises if noise.kind == "poisson"}


def without_noise(operator: Operator) -> Operator:
    first = operator.first.model_copy(update={"noise": ()})
    second = operator.second and operator.second.model_copy(update={"noise": ()})
    return operator.model_copy(update={"first": first, "second": second})


def block_means(image: ByteImage, factor: int) -> npt.NDArray[Any]:
    """Reduced by a whole number that divides its sides."""
    height, width, channels = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor, channels)
    return np.asarray(blocks.mean(axis=(1, 3)))


def psnr_db(image: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    error = float(np.mean((image.astype(np.float64) - other) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf
