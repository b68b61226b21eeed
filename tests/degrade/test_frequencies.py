"""Whole operators by the hundred thousand: every drawn choice has its published share.

``test_drawing.py`` looks at single draws; here they come as an operator has them, from both shipped
two-stage profiles and in both stages, so that a wrong range in a YAML file is seen too. With some
two hundred comparisons at 4 standard errors one in a hundred seeds would fail; the seed is fixed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from inscene.degrade import Operator, load_profile
from inscene.seeds import Draws

TOTAL = 100_000
SIZES = (7, 9, 11, 13, 15, 17, 19, 21)
FILTERS = ("area", "bilinear", "bicubic")
FAMILIES = {
    "iso": 0.45,
    "aniso": 0.25,
    "generalized_iso": 0.12,
    "generalized_aniso": 0.03,
    "plateau_iso": 0.12,
    "plateau_aniso": 0.03,
}


@dataclass(frozen=True)
class Stage:
    """The published numbers; scales are drawn between ``low``, 1 and ``high``."""

    blurred: float
    sigma: tuple[float, float]
    generalized: tuple[float, float]
    plateau: tuple[float, float]
    directions: dict[str, float]
    scale: tuple[float, float]
    gaussian: tuple[float, float]
    poisson: tuple[float, float]
    quality: tuple[float, float]


DOWN, EVEN = {"up": 0.2, "down": 0.7, "keep": 0.1}, {"up": 0.3, "down": 0.4, "keep": 0.3}
PUBLISHED = {
    "realesrgan": (
        Stage(1.0, (0.2, 3), (0.5, 4), (1, 2), DOWN, (0.15, 1.5), (1, 30), (0.05, 3), (30, 95)),
        Stage(0.8, (0.2, 1.5), (0.5, 4), (1, 2), EVEN, (0.3, 1.2), (1, 25), (0.05, 2.5), (30, 95)),
    ),
    "s3diff": (
        Stage(1.0, (0.2, 1.5), (0.5, 2), (1, 1.5), DOWN, (0.3, 1.5), (1, 15), (0.05, 2), (60, 95)),
        Stage(0.5, (0.2, 1), (0.5, 2), (1, 1.5), EVEN, (0.6, 1.2), (1, 12), (0.05, 1), (60, 100)),
    ),
}  # fmt: skip


@dataclass
class Drawn:
    """Columns of choices and of numbers, by name: all fields of an operator that are drawn."""

    choices: dict[str, list[Any]] = field(default_factory=dict)
    owners: dict[str, list[int]] = field(default_factory=dict)
    """Which operator each choice is of: some have no blur, or no sinc."""
    numbers: dict[str, list[float]] = field(default_factory=dict)

    operators: int = 0

    def add(self, operator: Operator) -> None:
        assert operator.second is not None
        for name, stage in (("first", operator.first), ("second", operator.second)):
            self._choice(f"{name}.blurred", stage.blur is not None)
            if stage.blur is not None:
                self._blur(name, stage.blur)
            scale = stage.resize.scale
            direction = "keep" if scale == 1 else "up" if scale > 1 else "down"
            self._choice(f"{name}.direction", direction)
            self._number(f"{name}.{direction}", scale)
            self._choice(f"{name}.filter", stage.resize.filter)
            (noise,) = stage.noise
            self._choice(f"{name}.noise", noise.kind)
            self._choice(f"{name}.gray", noise.gray)
            strength = noise.sigma if noise.kind == "gaussian" else noise.scale
            self._number(f"{name}.{noise.kind}", strength)
            self._number(f"{name}.quality", stage.jpeg.quality)
        final = operator.final
        self._choice("final.filter", final.filter)
        self._choice("final.order", final.order)
        self._choice("final.sinc", final.sinc is not None)
        if final.sinc is not None:
            self._choice("final.size", final.sinc.size)
            self._number("final.cutoff", final.sinc.cutoff)
        self.operators += 1

    def _blur(self, name: str, blur: Any) -> None:
        self._choice(f"{name}.family", blur.family)
        self._choice(f"{name}.size", blur.size)
        if blur.family == "sinc":
            width = "small" if blur.size < 13 else "large"
            self._number(f"{name}.cutoff.{width}", blur.cutoff)
            return
        self._number(f"{name}.sigma_x", blur.sigma_x)
        if blur.family.endswith("aniso"):
            self._number(f"{name}.sigma_y", blur.sigma_y)
            self._number(f"{name}.theta", blur.theta)
        for shape in ("generalized", "plateau"):
            if blur.family.startswith(shape):
                side = "one" if blur.beta == 1 else "below" if blur.beta < 1 else "above"
                self._choice(f"{name}.{shape}", side)
                self._number(f"{name}.{shape}.{side}", blur.beta)

    def _choice(self, name: str, value: Any) -> None:
        self.choices.setdefault(name, []).append(value)
        self.owners.setdefault(name, []).append(self.operators)

    def _number(self, name: str, value: float) -> None:
        self.numbers.setdefault(name, []).append(value)


def shares(name: str) -> Iterator[tuple[str, dict[Any, float]]]:
    uniform_sizes = dict.fromkeys(SIZES, 1 / len(SIZES))
    uniform_filters = dict.fromkeys(FILTERS, 1 / 3)
    for stage, published in zip(("first", "second"), PUBLISHED[name], strict=True):
        yield f"{stage}.blurred", {True: published.blurred, False: 1 - published.blurred}
        yield f"{stage}.family", {f: 0.9 * share for f, share in FAMILIES.items()} | {"sinc": 0.1}
        yield f"{stage}.size", uniform_sizes
        yield f"{stage}.direction", published.directions
        yield f"{stage}.filter", uniform_filters
        yield f"{stage}.noise", {"gaussian": 0.5, "poisson": 0.5}
        yield f"{stage}.gray", {True: 0.4, False: 0.6}
        yield f"{stage}.generalized", {"below": 0.5, "above": 0.5}
        yield f"{stage}.plateau", {"one": 0.5, "above": 0.5}
    yield "final.filter", uniform_filters
    yield "final.order", {"resize_sinc_jpeg": 0.5, "jpeg_resize_sinc": 0.5}
    yield "final.sinc", {True: 0.8, False: 0.2}
    yield "final.size", uniform_sizes


def check_shares(name: str, made: Drawn) -> None:
    expected = dict(shares(name))
    assert set(expected) == set(made.choices)
    for parameter, table in expected.items():
        values = made.choices[parameter]
        total = len(values)
        assert set(values) == {value for value, share in table.items() if share > 0}, parameter
        for value, share in table.items():
            error = math.sqrt(share * (1 - share) / total)
            found = values.count(value) / total
            assert abs(found - share) <= 4 * error, (parameter, value, found)


def uniform(name: str) -> Iterator[tuple[str, tuple[float, float]]]:
    pi = math.pi
    for stage, published in zip(("first", "second"), PUBLISHED[name], strict=True):
        yield f"{stage}.sigma_x", published.sigma
        yield f"{stage}.sigma_y", published.sigma
        yield f"{stage}.theta", (-pi, pi)
        yield f"{stage}.cutoff.small", (pi / 3, pi)
        yield f"{stage}.cutoff.large", (pi / 5, pi)
        yield f"{stage}.generalized.below", (published.generalized[0], 1)
        yield f"{stage}.generalized.above", (1, published.generalized[1])
        yield f"{stage}.plateau.above", (1, published.plateau[1])
        yield f"{stage}.plateau.one", (1, 1)
        yield f"{stage}.down", (published.scale[0], 1)
        yield f"{stage}.up", (1, published.scale[1])
        yield f"{stage}.keep", (1, 1)
        yield f"{stage}.gaussian", published.gaussian
        yield f"{stage}.poisson", published.poisson
        yield f"{stage}.quality", published.quality
    yield "final.cutoff", (pi / 3, pi)


def check_uniform(name: str, made: Drawn) -> None:
    """Mean and variance of each, and its ends: with so many draws they are nearly met."""
    expected = dict(uniform(name))
    assert set(expected) == set(made.numbers)
    for parameter, (low, high) in expected.items():
        values = np.array(made.numbers[parameter])
        count, width = len(values), high - low
        assert low <= values.min(), parameter
        assert values.max() <= high, parameter
        deviation = width / math.sqrt(12)
        assert abs(values.mean() - (low + high) / 2) <= 4 * deviation / math.sqrt(count), parameter
        # The fourth moment of a uniform variable is 9/5 of its squared variance.
        error = deviation**2 * math.sqrt(0.8 / count)
        assert abs(values.var() - deviation**2) <= 5 * error, parameter
        assert np.ptp(values) >= width * (1 - 20 / count), parameter


def check_unrelated(made: Drawn) -> None:
    """Two parameters under one name would be one draw. Every pair, over the operators that have
    both."""
    columns = {}
    for name, values in made.choices.items():
        column = np.full(TOTAL, -1)
        words = np.array([str(value) for value in values])
        column[made.owners[name]] = np.unique(words, return_inverse=True)[1]
        columns[name] = column
    compared = 0
    for one, other in itertools.combinations(columns, 2):
        both = (columns[one] >= 0) & (columns[other] >= 0)
        a, b = columns[one][both], columns[other][both]
        if not len(a):
            continue
        shape = (a.max() + 1, b.max() + 1)
        table = np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1]).reshape(shape)
        table = table[table.any(axis=1)][:, table.any(axis=0)]
        by_chance = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / len(a)
        chi_square = float(((table - by_chance) ** 2 / by_chance).sum())
        freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
        assert chi_square <= freedom + 5 * math.sqrt(2 * freedom) + 6, (one, other)
        compared += freedom > 0
    assert compared > 180


@pytest.mark.parametrize("name", PUBLISHED)
def test_operators(name: str) -> None:
    """One test, since the draws are what takes the time."""
    profile, made = load_profile(name), Drawn()
    for index in range(TOTAL):
        made.add(Operator.draw(profile, Draws("frequencies", index)))
    check_shares(name, made)
    check_uniform(name, made)
    check_unrelated(made)
