"""Profiles: the ranges that operators are drawn from, as YAML in ``pipelines/profiles/``.

A range is ``[low, high]`` and is drawn from uniformly; its units are those of
:mod:`inscene.degrade.values`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from inscene.degrade.files import find_file
from inscene.degrade.messages import explain
from inscene.degrade.values import (
    Beta,
    Family,
    FieldBlur,
    Filter,
    Gamma,
    Grid,
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
    Stretch,
    Unit,
)
from inscene.errors import RecipeError, UsageError


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


R = TypeVar("R", bound=BaseModel)
Ordered = AfterValidator(_ordered)
AroundOne = AfterValidator(_around_one)
Probability = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Sizes = Annotated[tuple[KernelSize, ...], Field(min_length=1)]
Filters = Annotated[tuple[Filter, ...], Field(min_length=1)]
PiUnit = Unit
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


class LensRanges(_Ranges):
    """Of a first blur that grows from the centre to the corners; see ``LensBlur`` for the terms."""

    size: KernelSize
    grid: Grid
    centre: Annotated[tuple[PiUnit, PiUnit], Ordered]
    """Of both coordinates, -1..1 over the image."""
    sigma_centre: Annotated[tuple[Sigma, Sigma], Ordered]
    sigma_edge: Annotated[tuple[Sigma, Sigma], Ordered]
    gamma: Annotated[tuple[Gamma, Gamma], Ordered]
    stretch: Annotated[tuple[Stretch, Stretch], Ordered]


class Profile(_Ranges):
    """A degradation pipeline: what is fixed in it, and the ranges of what is drawn."""

    name: str
    sf: ScaleFactor
    usm: bool = False
    """Sharpen the GT before it is degraded."""
    registration: Registration = "exact"
    jpeg_backend: JpegBackend = "sim"
    first: StageRanges
    varying_blur: LensRanges | FieldBlur | None = None
    """Takes the place of the first stage's blur."""
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

    def with_poisson_levels(self, levels: int | Literal["auto"]) -> Profile:
        """The same profile with other levels for the Poisson noise of both stages."""
        changes: dict[str, object] = {}
        for name, stage in (("first", self.first), ("second", self.second)):
            if stage is not None and stage.noise.poisson is not None:
                changes[name] = stage.model_dump()
                changes[name]["noise"]["poisson"]["levels"] = levels  # type: ignore[index]
        return self.with_changes(**changes)

    @property
    def depends_on_content(self) -> bool:
        """True where one operator does different things to two images."""
        stages = (self.first, self.second)
        poissons = [stage.noise.poisson for stage in stages if stage is not None]
        return any(ranges is not None and ranges.levels == "auto" for ranges in poissons)


def load_profile(name_or_path: str | Path) -> Profile:
    """A shipped profile by its name (``s3diff``, ``realesrgan``, ``faceme``), or a YAML file.

    Raises ``UsageError`` for a name that is neither, and ``RecipeError`` with file and line for
    content that does not fit.
    """
    return _load(find_file("profiles", name_or_path, "degradation profile"), Profile)


def load_lens(name_or_path: str | Path) -> LensRanges:
    """Shipped ranges of a lens by name (``corners``), or a YAML file. Raises as
    :func:`load_profile`."""
    return _load(find_file("varying_blur", name_or_path, "varying blur"), LensRanges)


def _load(path: Path, kind: type[R]) -> R:
    # Costs pyarrow, which code that only passes profiles around does not need.
    from inscene.recipe import RecipeSource

    source = RecipeSource(path)
    try:
        return kind.model_validate(source.data)
    except ValidationError as error:
        what, keys, next_step = explain(error, kind)
        raise RecipeError(what, where=source.where(*keys), next_step=next_step) from error
