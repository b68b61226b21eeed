"""From ranges to values. Each parameter has a draw of its own, named by its place in the operator,
so that a parameter added later shifts none of the others.
"""

from __future__ import annotations

import math
import typing

from inscene.degrade.profile import (
    BetaRange,
    BlurRanges,
    CutoffRanges,
    Direction,
    FinalSincRanges,
    JpegRanges,
    LensRanges,
    NoiseRanges,
    ResizeRanges,
)
from inscene.degrade.values import (
    EllipseBlur,
    Family,
    GaussianNoise,
    Jpeg,
    LensBlur,
    PoissonNoise,
    Resize,
    SincBlur,
)
from inscene.seeds import Draws

# Draws go by these orders and not by that of a YAML file's keys, which means nothing.
FAMILIES: tuple[Family, ...] = typing.get_args(Family)
DIRECTIONS: tuple[Direction, ...] = typing.get_args(Direction)


def draw_blur(ranges: BlurRanges, draws: Draws, name: str) -> EllipseBlur | SincBlur | None:
    if not draws.coin(f"{name}.applied", ranges.prob):
        return None
    size = draws.choice(f"{name}.size", ranges.sizes)
    if ranges.sinc is not None and draws.coin(f"{name}.is_sinc", ranges.sinc.prob):
        low, high = _cutoff_pi_range(ranges.sinc.cutoff_pi, size)
        return SincBlur(size=size, cutoff=draws.uniform(f"{name}.cutoff", low, high) * math.pi)

    weights = [ranges.families.get(family, 0.0) for family in FAMILIES]
    family = draws.choice(f"{name}.family", FAMILIES, weights)
    sigma_x = draws.uniform(f"{name}.sigma_x", *ranges.sigma)
    sigma_y, theta, beta = sigma_x, 0.0, 1.0
    if family.endswith("aniso"):
        sigma_y = draws.uniform(f"{name}.sigma_y", *ranges.sigma)
        theta = draws.uniform(f"{name}.theta", *ranges.theta_pi) * math.pi
    if family.startswith("generalized"):
        beta = _draw_beta(ranges.beta_generalized, draws, name)
    elif family.startswith("plateau"):
        beta = _draw_beta(ranges.beta_plateau, draws, name)
    return EllipseBlur(
        family=family, size=size, sigma_x=sigma_x, sigma_y=sigma_y, theta=theta, beta=beta
    )


def draw_lens(ranges: LensRanges, draws: Draws, name: str) -> LensBlur:
    return LensBlur(
        size=ranges.size,
        grid=ranges.grid,
        centre_u=draws.uniform(f"{name}.centre_u", *ranges.centre),
        centre_v=draws.uniform(f"{name}.centre_v", *ranges.centre),
        sigma_centre=draws.uniform(f"{name}.sigma_centre", *ranges.sigma_centre),
        sigma_edge=draws.uniform(f"{name}.sigma_edge", *ranges.sigma_edge),
        gamma=draws.uniform(f"{name}.gamma", *ranges.gamma),
        stretch=draws.uniform(f"{name}.stretch", *ranges.stretch),
    )


def _cutoff_pi_range(ranges: CutoffRanges, size: int) -> tuple[float, float]:
    return ranges.large if size >= ranges.large_from else ranges.small


def _draw_beta(ends: BetaRange | None, draws: Draws, name: str) -> float:
    assert ends is not None  # the profile's validator has seen to it
    below_one = draws.coin(f"{name}.beta_below_one", 0.5)
    low, high = (ends[0], 1.0) if below_one else (1.0, ends[1])
    return draws.uniform(f"{name}.beta", low, high)


def draw_sinc(ranges: FinalSincRanges | None, draws: Draws, name: str) -> SincBlur | None:
    if ranges is None or not draws.coin(f"{name}.applied", ranges.prob):
        return None
    return SincBlur(
        size=draws.choice(f"{name}.size", ranges.sizes),
        cutoff=draws.uniform(f"{name}.cutoff", *ranges.cutoff_pi) * math.pi,
    )


def draw_resize(ranges: ResizeRanges, draws: Draws, name: str) -> Resize:
    weights = [ranges.direction.get(direction, 0.0) for direction in DIRECTIONS]
    direction = draws.choice(f"{name}.direction", DIRECTIONS, weights)
    low, high = ranges.scale
    low, high = {"up": (1.0, high), "down": (low, 1.0), "keep": (1.0, 1.0)}[direction]
    if ranges.uniform_in == "divisor":
        scale = 1 / draws.uniform(f"{name}.scale", 1 / high, 1 / low)
    else:
        scale = draws.uniform(f"{name}.scale", low, high)
    return Resize(filter=draws.choice(f"{name}.filter", ranges.filters), scale=scale)


def draw_noise(
    ranges: NoiseRanges, draws: Draws, name: str
) -> tuple[GaussianNoise | PoissonNoise, ...]:
    """The list of one operation that the published pipelines have in each stage."""
    gray = draws.coin(f"{name}.gray", ranges.gray_prob)
    if draws.coin(f"{name}.is_gaussian", ranges.gaussian_prob):
        sigma = draws.uniform(f"{name}.sigma", *ranges.gaussian_sigma)
        return (GaussianNoise(sigma=sigma, gray=gray),)
    assert ranges.poisson is not None  # the profile's validator has seen to it
    scale = draws.uniform(f"{name}.scale", *ranges.poisson.scale)
    return (PoissonNoise(scale=scale, levels=ranges.poisson.levels, gray=gray),)


def draw_jpeg(ranges: JpegRanges, draws: Draws, name: str) -> Jpeg:
    quality = draws.uniform(f"{name}.quality", *ranges.quality)
    return Jpeg(quality=float(math.trunc(quality)) if ranges.integer else quality)
