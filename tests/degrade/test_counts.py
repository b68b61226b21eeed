"""Poisson counts: the tables against the distribution, and drawn fields against its moments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import poisson

from inscene.degrade.counts import count_tables
from inscene.degrade.noise import add_noise, noise_key
from inscene.degrade.values import PoissonNoise

LEVELS = (1, 2, 64, 128, 256, 1000, 4096)


def implied(levels: int, value: int) -> tuple[int, Any]:
    """The lowest count, and the probabilities of it and of the next ones, that follow from the
    table's arithmetic over all 2³² words: each column has equally many, of which as many stay as
    its threshold says and the others go to its alias."""
    tables = count_tables(levels)
    bits = tables.column_bits
    cells = tables.cells.reshape(256, 1 << bits)[value].astype(np.int64)
    thresholds, aliases = cells >> bits, cells & ((1 << bits) - 1)
    words = thresholds.copy()
    np.add.at(words, aliases, (1 << (32 - bits)) - thresholds)
    lowest = float(tables.lowest_minus_mean[value]) + value * levels / 255
    assert abs(lowest - round(lowest)) < 1e-3
    return round(lowest), words / 2**32


@pytest.mark.parametrize("levels", LEVELS)
def test_tables_hold_the_distribution(levels: int) -> None:
    """For all values, 0 and 255 among them."""
    for value in range(256):
        lowest, odds = implied(levels, value)
        assert lowest >= 0
        assert odds.sum() == 1
        mean = value * levels / 255
        expected = poisson.pmf(lowest + np.arange(len(odds)), mean)
        np.testing.assert_allclose(odds, expected, rtol=0, atol=2e-9)
        assert expected.sum() == pytest.approx(1, abs=1e-10)  # nothing that counts is left away


def test_black_has_no_counts() -> None:
    for levels in LEVELS:
        lowest, odds = implied(levels, 0)
        assert lowest == 0
        assert odds[0] == 1


def drawn(value: int, levels: int) -> Any:
    """250,000 counts minus their mean, as the noise has them.

    The noise is read off a mid-gray channel, since near black and white it would be clipped: gray
    noise is that of the luma, which the two other channels set; beyond 0..1 they count as 0 or 1.
    """
    scale, carried = 0.05, np.float32(0.5)
    other = (value / 255 - 0.114 * 0.5) / (0.2989 + 0.587)
    planes = np.full((3, 500, 500), other, np.float32)
    planes[2] = carried
    noise = PoissonNoise(scale=scale, levels=levels, gray=True)
    add_noise(planes, noise, noise_key(2024, f"{levels} {value}"))
    return (planes[2].ravel() - carried).astype(float) * (levels / scale)


def scores(value: int, levels: int) -> tuple[float, float]:
    """By how many standard errors mean and variance are off."""
    field, mean = drawn(value, levels), value * levels / 255
    # The fourth cumulant of a Poisson distribution is its mean.
    error = math.sqrt((2 * mean**2 + mean) / len(field))
    off = float(np.mean(field * field)) - mean
    return float(field.mean()) / math.sqrt(mean / len(field)), off / error


@pytest.mark.parametrize("levels", [64, 128, 256])
def test_moments_of_all_values(levels: int) -> None:
    """510 comparisons at a time: 4 standard errors are for one, of which 510 pass in 97 of 100
    cases; 4.5 leave 3 in 1000. Seeds are fixed, and the squares of all together are looked at too.
    """
    np.testing.assert_array_equal(drawn(0, levels), 0)
    off = np.array([scores(value, levels) for value in range(1, 256)])
    assert np.abs(off).max() < 4.5
    assert (np.abs(off) > 4).sum() <= 1
    for each in off.T:
        assert abs((each**2).mean() - 1) < 4 * math.sqrt(2 / len(each))
        assert abs(each.mean()) < 4 / math.sqrt(len(each))


@pytest.mark.parametrize("levels", [1, 2, 1000, 4096])
def test_moments_at_other_levels(levels: int) -> None:
    for value in (1, 40, 128, 255):
        assert max(map(abs, scores(value, levels))) < 4


@pytest.mark.parametrize("levels", [64, 256])
def test_all_counts_are_drawn_as_often_as_they_should_be(levels: int) -> None:
    """Moments would not show two counts that changed places. Chi-square, rare counts pooled."""
    for value in (3, 40, 128, 255):
        mean = value * levels / 255
        counts = np.rint(drawn(value, levels) + mean).astype(int)
        assert counts.min() >= 0
        low, high = (int(poisson.ppf(p, mean)) for p in (1e-4, 1 - 1e-4))
        found = np.bincount(np.clip(counts, low, high) - low, minlength=high - low + 1)
        odds = poisson.pmf(np.arange(low, high + 1), mean)
        odds[0], odds[-1] = poisson.cdf(low, mean), poisson.sf(high - 1, mean)
        expected = odds * len(counts)
        chi_square = float(((found - expected) ** 2 / expected).sum())
        freedom = high - low
        assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom) + 4


def test_colour_and_gray_draw_alike() -> None:
    """One word a value, in the same order: a colour image's first channel is the gray field."""
    for value, levels in ((40, 64), (128, 256), (200, 4096)):
        gray = np.full((3, 64, 64), value / 255, np.float32)
        colour = gray.copy()
        key = noise_key(1, "alike")
        add_noise(gray, PoissonNoise(scale=0.05, levels=levels, gray=True), key)
        add_noise(colour, PoissonNoise(scale=0.05, levels=levels, gray=False), key)
        np.testing.assert_array_equal(gray[0], colour[0])
        assert (colour[1] != colour[0]).any()
