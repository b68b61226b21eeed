"""Kernels against a direct reading of their formulas, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import jv

from inscene.degrade.drawing import FAMILIES
from inscene.degrade.kernels import effective_sigma, kernel
from inscene.degrade.values import EllipseBlur, Family, SincBlur

sizes = st.integers(0, 10).map(lambda half: 2 * half + 1)
sigmas = st.floats(0.2, 10)


@st.composite
def ellipses(draw: st.DrawFn, family: Family) -> EllipseBlur:
    is_aniso, is_plain = family.endswith("aniso"), family in ("iso", "aniso")
    sigma_x = draw(sigmas)
    return EllipseBlur(
        family=family,
        size=draw(sizes),
        sigma_x=sigma_x,
        sigma_y=draw(sigmas) if is_aniso else sigma_x,
        theta=draw(st.floats(-math.pi, math.pi)) if is_aniso else 0.0,
        beta=1.0 if is_plain else draw(st.floats(0.5, 4)),
    )


def direct_value(blur: EllipseBlur | SincBlur, x: int, y: int) -> float:
    if isinstance(blur, SincBlur):
        radius = math.hypot(x, y)
        if radius == 0:
            return blur.cutoff**2 / (4 * math.pi)
        return float(blur.cutoff * jv(1, blur.cutoff * radius) / (2 * math.pi * radius))
    cos, sin = math.cos(blur.theta), math.sin(blur.theta)
    rotation = np.array([[cos, -sin], [sin, cos]])
    covariance = rotation @ np.diag([blur.sigma_x**2, blur.sigma_y**2]) @ rotation.T
    offset = np.array([x, y], float)
    q = float(offset @ np.linalg.inv(covariance) @ offset)
    if blur.family.startswith("plateau"):
        return 1 / (1 + q**blur.beta)
    return math.exp(-0.5 * q**blur.beta)


def direct_kernel(blur: EllipseBlur | SincBlur) -> np.ndarray:
    half = blur.size // 2
    line = range(-half, half + 1)
    values = np.array([[direct_value(blur, x, y) for x in line] for y in line])
    return values / values.sum()


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, derandomize=True, max_examples=25)
@given(data=st.data())
def test_elliptic_families(family: Family, data: st.DataObject) -> None:
    blur = data.draw(ellipses(family))
    made = kernel(blur)
    assert made.dtype == np.float64
    assert made.shape == (blur.size, blur.size)
    assert made.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(made, direct_kernel(blur), atol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(size=sizes, cutoff=st.floats(0.2 * math.pi, math.pi))
def test_sinc(size: int, cutoff: float) -> None:
    blur = SincBlur(size=size, cutoff=cutoff)
    made = kernel(blur)
    assert made.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(made, direct_kernel(blur), atol=1e-6)


def test_the_sinc_centre_is_the_limit_of_its_neighbourhood() -> None:
    cutoff, radius = 2.0, 1e-4
    near = cutoff * jv(1, cutoff * radius) / (2 * math.pi * radius)
    assert direct_value(SincBlur(size=7, cutoff=cutoff), 0, 0) == pytest.approx(near, rel=1e-6)


def test_angles_turn_from_x_towards_y() -> None:
    """A long axis at +45° goes from the upper left to the lower right of the picture."""
    blur = EllipseBlur(family="aniso", size=9, sigma_x=3.0, sigma_y=0.5, theta=math.pi / 4)
    made = kernel(blur)
    assert made[0, 0] > 100 * made[0, 8]


def test_effective_sigma_is_sigma_until_the_window_cuts_the_tails() -> None:
    narrow = EllipseBlur(family="iso", size=21, sigma_x=1.5, sigma_y=1.5)
    cut = EllipseBlur(family="iso", size=7, sigma_x=3.0, sigma_y=3.0)
    long = EllipseBlur(family="aniso", size=41, sigma_x=3.0, sigma_y=1.0, theta=0.3)
    assert effective_sigma(kernel(narrow)) == pytest.approx(1.5, abs=1e-3)
    assert effective_sigma(kernel(cut)) == pytest.approx(1.75, abs=0.1)
    assert effective_sigma(kernel(long)) == pytest.approx(math.sqrt((9 + 1) / 2), abs=1e-3)
    assert math.isnan(effective_sigma(np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0.0]])))


@pytest.mark.parametrize(
    "values",
    [
        {"family": "iso", "size": 8, "sigma_x": 1.0, "sigma_y": 1.0},
        {"family": "iso", "size": 7, "sigma_x": 1.0, "sigma_y": 2.0},
        {"family": "plateau_iso", "size": 7, "sigma_x": 1.0, "sigma_y": 1.0, "theta": 0.1},
        {"family": "aniso", "size": 7, "sigma_x": 1.0, "sigma_y": 2.0, "beta": 2.0},
        {"family": "aniso", "size": 7, "sigma_x": 0.0, "sigma_y": 2.0},
        {"family": "aniso", "size": 7, "sigma_x": math.nan, "sigma_y": 2.0},
        {"family": "aniso", "size": 7, "sigma_x": "1", "sigma_y": 2.0},
    ],
)
def test_a_blur_that_makes_no_sense_cannot_be_built(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EllipseBlur.model_validate(values)
