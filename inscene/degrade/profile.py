"""Profiles: the ranges that operators are drawn from, as YAML in ``pipelines/profiles/``.

A range is ``[low, high]`` and is drawn from uniformly; its units are those of
:mod:`inscene.degrade.values`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from inscene.degrade.messages import explain
from inscene.degrade.values import (
    Beta,
    Family,
    Filter,
    JpegBackend,
    KernelSize,
    NoiseSigma,
    PoissonLevels,
    PoissonScale,
    Quality,
    Registration,
    Scale,
    ScaleFactor,
    Sigma,
)
from inscene.errors import RecipeError, UsageError
from inscene.shipped import shipped_folder, shipped_names
from inscene.suggest import did_you_mean


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"a range is [low, high], got {list(ends)}")
    return ends


def _around_one(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] <= 1 <= ends[1]:
        raise ValueError(f"the range must include 1, got {list(ends)}")
    return ends


def _some_weight(weights: dict[Any, float]) -> dict[Any, float]:
    if sum(weights.values()) <= 0:
        raise ValueError("at least one weight must be positive")
    return weights


Ordered = AfterValidator(_ordered)
AroundOne = AfterValidator(_around_one)
Probability = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Sizes = Annotated[tuple[KernelSize, ...], Field(min_length=1)]
Filters = Annotated[tuple[Filter, ...], Field(min_length=1)]
PiUnit = Annotated[float, Field(ge=-1, le=1)]
BetaRange = Annotated[tuple[Beta, Beta], AroundOne]
CutoffPi = Annotated[float, Field(ge=0.01, le=1)]
CutoffPiRange = Annotated[tuple[CutoffPi, CutoffPi], Ordered]


class _Ranges(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CutoffRanges(_Ranges):
    """Cut-off in units of π, by kernel size: a small kernel cannot hold a low frequency."""

    small: CutoffPiRange
    large: CutoffPiRange
    large_from: int
    """px; smaller kernels take the range ``small``."""


class SincRanges(_Ranges):
    prob: Probability
    cutoff_pi: CutoffRanges


class BlurRanges(_Ranges):
    prob: Probability
    sizes: Sizes
    """Each as likely."""
    families: Annotated[dict[Family, Weight], AfterValidator(_some_weight)]
    """Weights, given that the kernel is no sinc."""
    sigma: Annotated[tuple[Sigma, Sigma], Ordered]
    theta_pi: Annotated[tuple[PiUnit, PiUnit], Ordered] = (-1.0, 1.0)
    beta_generalized: BetaRange | None = None
    """A fair coin picks the half below 1 or the half above it."""
    beta_plateau: BetaRange | None = None
    """As ``beta_generalized``; ``[1, high]`` gives β = 1 half of the time."""
    sinc: SincRanges | None = None

    @model_validator(mode="after")
    def _has_betas(self) -> BlurRanges:
        for shape, betas in (
            ("generalized", self.beta_generalized),
            ("plateau", self.beta_plateau),
        ):
            if betas is None and any(family.startswith(shape) for family in self.families):
                raise ValueError(f"the family {shape}_* needs beta_{shape}")
        return self


Direction = Literal["up", "down", "keep"]


class ResizeRanges(_Ranges):
    direction: Annotated[dict[Direction, Weight], AfterValidator(_some_weight)]
    """Weights."""
    scale: Annotated[tuple[Scale, Scale], AroundOne]
    """``down`` draws below 1, ``up`` above it."""
    uniform_in: Literal["scale", "divisor"] = "scale"
    """``divisor``: 1/scale is what is uniform."""
    filters: Filters
    """Each as likely."""


class PoissonRanges(_Ranges):
    scale: Annotated[tuple[PoissonScale, PoissonScale], Ordered]
    levels: PoissonLevels = 256


class NoiseRanges(_Ranges):
    """One noise a stage: Gaussian with probability ``gaussian_prob``, else Poisson."""

    gaussian_prob: Probability
    gaussian_sigma: Annotated[tuple[NoiseSigma, NoiseSigma], Ordered]
    poisson: PoissonRanges | None = None
    gray_prob: Probability

    @model_validator(mode="after")
    def _has_poisson(self) -> NoiseRanges:
        if self.gaussian_prob < 1 and self.poisson is None:
            raise ValueError("gaussian_prob below 1 needs the key poisson")
        return self


class JpegRanges(_Ranges):
    quality: Annotated[tuple[Quality, Quality], Ordered]
    integer: bool = False
    """Truncate what is drawn, as pipelines around libjpeg do."""


class StageRanges(_Ranges):
    blur: BlurRanges
    resize: ResizeRanges
    noise: NoiseRanges
    jpeg: JpegRanges


class FinalSincRanges(_Ranges):
    prob: Probability
    sizes: Sizes
    cutoff_pi: CutoffPiRange


class FinalRanges(_Ranges):
    filters: Filters
    """Of the resize to GT size / sf."""
    jpeg_first_prob: Probability = 0.0
    """JPEG → resize → sinc; else resize → sinc → JPEG. The JPEG is that of the second stage."""
    sinc: FinalSincRanges | None = None


class Profile(_Ranges):
    """A degradation pipeline: what is fixed in it, and the ranges of what is drawn."""

    name: str
    sf: ScaleFactor
    usm: bool = False
    """Sharpen the GT before it is degraded."""
    registration: Registration = "exact"
    jpeg_backend: JpegBackend = "sim"
    first: StageRanges
    second: StageRanges | None = None
    """Its resize is relative to GT size / sf."""
    final: FinalRanges

    def with_changes(self, **changes: object) -> Profile:
        """The same profile with other top-level values, checked: ``with_changes(usm=True)``.

        Raises ``UsageError`` for an unknown key or a value that does not fit.
        """
        try:
            return Profile.model_validate({**self.model_dump(), **changes})
        except ValidationError as error:
            what, _, next_step = explain(error, Profile)
            raise UsageError(what, where=f"profile {self.name}", next_step=next_step) from error


def load_profile(name_or_path: str | Path) -> Profile:
    """A shipped profile by its name (``s3diff``, ``realesrgan``, ``faceme``), or a YAML file.

    An existing file wins over a shipped name. Raises ``UsageError`` for a name that is neither, and
    ``RecipeError`` with file and line for content that does not fit.
    """
    # Costs pyarrow, which code that only passes profiles around does not need.
    from inscene.recipe import RecipeSource

    path = Path(name_or_path)
    if not path.is_file():
        path = shipped_folder("pipelines") / "profiles" / f"{name_or_path}.yaml"
    if not path.is_file():
        raise UsageError(
            f"no degradation profile {str(name_or_path)!r}",
            why="It is neither a file nor the name of a shipped profile.",
            next_step=did_you_mean(str(name_or_path), shipped_names("pipelines", "profiles")),
        )
    source = RecipeSource(path)
    try:
        return Profile.model_validate(source.data)
    except ValidationError as error:
        what, keys, next_step = explain(error, Profile)
        raise RecipeError(what, where=source.where(*keys), next_step=next_step) from error
