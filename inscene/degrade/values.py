"""What is drawn for one degradation: small frozen values, with their units and bounds.

A value that can be built can be applied. The bounds are those of sense and of float arithmetic,
wider than any published range.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Registration = Literal["exact", "legacy"]
"""Where the samples of the first resize lie: ``exact`` maps the input's extent onto the output's,
``legacy`` steps by 1/scale although the output size was rounded down, as Real-ESRGAN does."""

JpegBackend = Literal["sim", "libjpeg", "libjpeg_bgr"]
"""``sim`` is DiffJPEG's float arithmetic with real-valued quality, ``libjpeg`` is the library;
``libjpeg_bgr`` gives the library an image whose R and B are exchanged, as FaceMe's dataset does."""

Family = Literal[
    "iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"
]
Filter = Literal["area", "bilinear", "bicubic"]
Order = Literal["resize_sinc_jpeg", "jpeg_resize_sinc"]


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"a kernel size is odd, got {size}")
    return size


KernelSize = Annotated[int, Field(ge=1, le=101), AfterValidator(_odd)]
"""Side of a square kernel, px."""
Sigma = Annotated[float, Field(ge=0.01, le=100)]
"""Standard deviation of a blur, px."""
Beta = Annotated[float, Field(ge=0.05, le=16)]
"""Exponent of a generalized Gaussian or plateau kernel; 1 is the plain shape."""
Theta = Annotated[float, Field(ge=-math.pi, le=math.pi)]
"""Angle of the sigma_x axis, rad, from the image's x axis towards its y axis (down)."""
Cutoff = Annotated[float, Field(ge=0.01, le=math.pi)]
"""Angular cut-off frequency, rad/px; π is the Nyquist limit."""
Scale = Annotated[float, Field(ge=0.01, le=8)]
"""Output side / input side."""
NoiseSigma = Annotated[float, Field(ge=0, le=255)]
"""Standard deviation of Gaussian noise, in 1/255 of white."""
PoissonScale = Annotated[float, Field(ge=0, le=16)]
"""Factor on shot noise; 1 is the noise of ``levels`` counts at white."""
PoissonLevels = Annotated[int, Field(ge=1, le=4096)] | Literal["auto"]
"""Mean number of counts at white; ``auto`` takes it from the number of distinct values in the image
at that point, as Real-ESRGAN does, so that one operator means two things for two images."""
Quality = Annotated[float, Field(ge=1, le=100)]
"""JPEG quality on libjpeg's scale."""
Grid = Annotated[int, Field(ge=2, le=64)]
"""Nodes along each side of the image."""
Unit = Annotated[float, Field(ge=-1, le=1)]
Gamma = Annotated[float, Field(ge=0.1, le=10)]
Stretch = Annotated[float, Field(ge=0.25, le=4)]
ScaleFactor = Annotated[int, Field(ge=1, le=16)]
"""GT side / LQ side."""


class Value(BaseModel):
    """Frozen and compared by content; refuses unknown keys, strings for numbers, and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class EllipseBlur(Value):
    """A kernel whose level lines are ellipses.

    The families that have no use for the angle, for a second sigma or for an exponent hold them at
    0, at sigma_x and at 1, so that equal kernels are equal values.
    """

    family: Family
    size: KernelSize
    sigma_x: Sigma
    sigma_y: Sigma
    theta: Theta = 0.0
    beta: Beta = 1.0

    @model_validator(mode="after")
    def _one_form(self) -> EllipseBlur:
        is_round = not self.family.endswith("aniso")
        if is_round and (self.sigma_y != self.sigma_x or self.theta != 0):
            raise ValueError(f"{self.family}: sigma_y must equal sigma_x, and theta must be 0")
        if self.family in ("iso", "aniso") and self.beta != 1:
            raise ValueError(f"{self.family}: beta must be 1")
        return self


class SincBlur(Value):
    """A circular ideal low pass, cut off at the border of the kernel: rings at edges."""

    family: Literal["sinc"] = "sinc"
    size: KernelSize
    cutoff: Cutoff


class LensBlur(Value):
    """A blur that grows from a centre towards the corners, as behind a simple lens.

    At distance ρ from the centre (0..1 of the half diagonal) and azimuth φ the kernel is a Gaussian
    with σ(ρ) = sigma_centre + (sigma_edge - sigma_centre)·ρ^gamma, stretched along the tangent:
    σ·√a across the radius and σ/√a along it, with a = 1 + (stretch - 1)·ρ.

    The kernels stand at grid × grid nodes, borders included; between the nodes the results mix
    bilinearly, which is the definition and not an approximation of another.
    """

    family: Literal["lens"] = "lens"
    size: KernelSize
    grid: Grid
    centre_u: Unit
    centre_v: Unit
    """-1..1 over the width and the height."""
    sigma_centre: Sigma
    sigma_edge: Sigma
    gamma: Gamma
    stretch: Stretch


class FieldBlur(Value):
    """Kernels measured on a grid over the image (:class:`inscene.degrade.PsfField`), mixed as those
    of :class:`LensBlur`; too many numbers for a record, which names them by their hash."""

    family: Literal["field"] = "field"
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


Blur = Annotated[EllipseBlur | SincBlur | LensBlur | FieldBlur, Field(discriminator="family")]


class Resize(Value):
    filter: Filter
    scale: Scale


class GaussianNoise(Value):
    kind: Literal["gaussian"] = "gaussian"
    sigma: NoiseSigma
    gray: bool
    """One field for the three channels."""


class PoissonNoise(Value):
    kind: Literal["poisson"] = "poisson"
    scale: PoissonScale
    levels: PoissonLevels = 256
    gray: bool
    """One field for the three channels, from the luma."""


Noise = Annotated[GaussianNoise | PoissonNoise, Field(discriminator="kind")]


class Jpeg(Value):
    quality: Quality
