"""Splits: by identity, reproducible, and never both."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.errors import UsageError, VerificationError
from inscene.synthetic.prompts.authors_csv import CsvRow
from inscene.synthetic.split import (
    IdentitySplit,
    check_disjoint,
    split_by_csv,
    split_by_hash,
    split_by_list,
)

EVERYBODY = [f"{number:05}" for number in range(1005)]


def test_the_papers_numbers() -> None:
    split = split_by_hash(EVERYBODY)
    assert (len(split.train), len(split.validation)) == (905, 100)
    assert split.split_of(min(split.validation)) == "validation"
    assert split.split_of(min(split.train)) == "train"
    with pytest.raises(UsageError, match="'1005' is in no split"):
        split.split_of("1005")


@settings(max_examples=25, deadline=None)
@given(st.sets(st.text(max_size=3), max_size=40), st.integers(0, 9), st.randoms())
def test_order_is_of_no_matter(people: set[str], seed: int, shuffling: random.Random) -> None:
    listed = [*people, *people]
    shuffling.shuffle(listed)
    split = split_by_hash(listed, seed=seed)
    assert split == split_by_hash(people, seed=seed)
    assert split.train | split.validation == people
    assert len(split.validation) == round(len(people) * 100 / 1005)


def test_a_larger_validation_contains_the_smaller() -> None:
    chosen = [split_by_hash(EVERYBODY, validation=count).validation for count in (0, 10, 50, 1005)]
    assert [len(some) for some in chosen] == [0, 10, 50, 1005]
    assert chosen[0] <= chosen[1] <= chosen[2] <= chosen[3]
    assert split_by_hash(EVERYBODY, seed=1).validation != split_by_hash(EVERYBODY).validation
    with pytest.raises(UsageError, match="1006 of 1005"):
        split_by_hash(EVERYBODY, validation=1006)


def test_the_choice_is_frozen() -> None:
    """A later version must not move anybody into the other split."""
    assert sorted(split_by_hash(EVERYBODY).validation)[:4] == FROZEN


FROZEN = ["00013", "00015", "00026", "00030"]


def test_by_the_csv() -> None:
    rows = [CsvRow("x", identity, "0.png", 2) for identity in EVERYBODY[::10][:100]]
    split = split_by_csv(EVERYBODY, rows)
    assert (len(split.train), len(split.validation)) == (905, 100)
    assert split.split_of("00010") == "validation"
    assert split_by_csv(["00001"], rows).train == {"00001"}


def test_by_a_list(tmp_path: Path) -> None:
    path = tmp_path / "validation.txt"
    path.write_text("# ours\n00003\n\n 00007  # twice a week\n")
    split = split_by_list(EVERYBODY, path)
    assert split.validation == {"00003", "00007"}
    assert len(split.train) == 1003
    for text, line, words in (
        ("00003\n3\n", 2, "no identity '3' Did you mean '00003'"),
        ("00003\n0003\n", 2, "Did you mean '00003'"),
        ("00003\n00003\n", 2, "occurs twice"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=words) as caught:
            split_by_list(EVERYBODY, path)
        assert caught.value.where == f"{path}:{line}"
    path.write_text("# nobody\n")
    with pytest.raises(UsageError, match="names nobody"):
        split_by_list(EVERYBODY, path)


def test_nobody_is_in_both() -> None:
    with pytest.raises(UsageError, match="the identity 'b' is in both splits"):
        IdentitySplit(frozenset("ab"), frozenset("bc"))
    check_disjoint([("a", "train"), ("b", "validation"), ("a", "train")])
    with pytest.raises(VerificationError, match="'a' is in the splits 'train' and 'validation'"):
        check_disjoint([("a", "train"), ("b", "validation"), ("a", "validation")])
