"""Draws are functions of key and name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inscene.seeds import Draws, derive_key


def test_values_are_frozen() -> None:
    """These numbers are part of every dataset that was ever made: they must never change."""
    draws = Draws(7, "image", 2)
    assert draws.unit("k1.sigma_x") == 0.7560332398332015
    assert draws.seed("noise") == 3652375171580994794


@given(st.lists(st.one_of(st.text(), st.integers(), st.binary()), max_size=4))
def test_keys_do_not_run_into_each_other(parts: list[str | int | bytes]) -> None:
    assert derive_key(*parts) != derive_key(*parts, "")
    assert derive_key("ab", "c", *parts) != derive_key("a", "bc", *parts)
    assert derive_key(1, *parts) != derive_key("1", *parts)


def test_names_are_independent_of_each_other_and_of_order() -> None:
    one, other = Draws("key"), Draws("key")
    assert [one.unit("a"), one.unit("b")] == [other.unit("b"), other.unit("a")][::-1]
    names = [f"n{i}" for i in range(20_000)]
    values = np.array([one.unit(name) for name in names])
    assert abs(values.mean() - 0.5) < 4 / np.sqrt(12 * len(names))
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 4 / np.sqrt(len(names))


def test_choice_follows_its_weights() -> None:
    draws = Draws("weights")
    count = 20_000
    picks = [draws.choice(f"c{i}", "abc", (0.2, 0.0, 0.6)) for i in range(count)]
    share = picks.count("a") / count
    assert picks.count("b") == 0
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / count)


def test_choice_refuses_weights_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="positive weights"):
        Draws("x").choice("c", "ab", (1.0,))
