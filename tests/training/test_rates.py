"""Learning rates that fall along half a cosine."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inscene.training.rates import half_cosine


@pytest.mark.parametrize(
    ("step", "factor"),
    [(0, 1.0), (25, 0.2 + 0.4 * (1 + math.sqrt(0.5))), (50, 0.6), (100, 0.2), (140, 0.2)],
)
def test_a_fifth_is_left_at_the_end(step: int, factor: float) -> None:
    assert half_cosine(step, 100, 0.2) == pytest.approx(factor)


@given(steps=st.integers(1, 10**6), final=st.floats(0, 1), data=st.data())
def test_it_falls_and_stays_in_between(steps: int, final: float, data: st.DataObject) -> None:
    one, later = sorted(data.draw(st.integers(0, 2 * steps)) for _ in range(2))
    assert final <= half_cosine(later, steps, final) <= half_cosine(one, steps, final) <= 1


def test_one_is_constant() -> None:
    assert {half_cosine(step, 10, 1.0) for step in range(12)} == {1.0}
