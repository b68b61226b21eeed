"""Of what shows the same one stays, whatever the order; thresholds can be moved afterwards."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.engine.registry import build
from inscene.errors import RecipeError
from inscene.gallery.duplicates import Duplicates
from inscene.recipe import load_recipe


def row(name: str, **columns: Any) -> dict[str, Any]:
    return {"input": name, "sample_id": name, **columns}


def bits(*set_: int) -> str:
    return f"{sum(1 << place for place in set_):016x}"


def test_the_larger_then_sharper_then_first_stays() -> None:
    rows = [
        row("a", sha256="1", scores={"short_side_px": 1000.0, "laplacian_var": 9.0}),
        row("b", sha256="1", scores={"short_side_px": 2000.0, "laplacian_var": 5.0}),
        row("c", sha256="1", scores={"short_side_px": 2000.0, "laplacian_var": 8.0}),
        row("d", sha256="1", scores={"short_side_px": 2000.0, "laplacian_var": 8.0}),
        row("e", sha256="1", scores=None),
        row("f", sha256="1", scores={"short_side_px": float("nan")}),
    ]
    found = Duplicates().decide(rows)
    assert sorted(found) == ["a", "b", "d", "e", "f"]
    assert {drop.like for drop in found.values()} == {"c"}
    assert found["a"].sentence == "the same file: c"


def test_the_reasons() -> None:
    rows = [
        row("a", sha256="1", pixels_sha256="p", phash=bits(), identity="anna"),
        row("b", sha256="2", pixels_sha256="p", phash=bits(), identity="anna"),
        row("c", sha256="3", pixels_sha256="q", phash=bits(1, 2), identity="bert"),
        row("d", sha256="4", pixels_sha256="r", phash=bits(*range(7)), identity="anna"),
        row("e"),  # of which nothing is known
        row("f"),
    ]
    found = Duplicates().decide(rows)
    assert {name: (drop.reason, drop.sentence) for name, drop in found.items()} == {
        "b": ("duplicate", "the same pixels: a"),
        "c": ("near_duplicate", "2 of 64 bits differ, under another identity: a"),
    }
    assert list(Duplicates(max_distance=None).decide(rows)) == ["b"]
    assert set(Duplicates(max_distance=7).decide(rows)) == {"b", "c", "d"}


def test_what_is_like_only_through_a_third_stays() -> None:
    rows = [row("a", phash=bits()), row("b", phash=bits(*range(5))),
            row("c", phash=bits(*range(10)))]  # fmt: skip
    assert list(Duplicates(max_distance=5).decide(rows)) == ["b"]


ROWS = st.lists(
    st.builds(
        dict,
        sha256=st.sampled_from([None, "1", "2", "3", "4", "5", "6"]),
        pixels_sha256=st.sampled_from([None, *"pqrstu"]),
        phash=st.integers(0, 2**14 - 1).map(lambda value: f"{value * 0x1041:016x}") | st.none(),
        scores=st.fixed_dictionaries({"short_side_px": st.sampled_from([1.0, 2.0, None])}),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 6), st.randoms(use_true_random=False))
def test_any_order_gives_one_answer_that_is_true(
    columns: list[dict[str, Any]], distance: int, rng: random.Random
) -> None:
    rows = [row(f"{number:02d}", **one) for number, one in enumerate(columns)]
    step = Duplicates(max_distance=distance)
    found = step.decide(rows)
    shuffled = rows[:]
    rng.shuffle(shuffled)
    assert step.decide(shuffled) == found

    def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
        equal = any(one[n] is not None and one[n] == other[n] for n in ("sha256", "pixels_sha256"))
        if equal or None in (one["phash"], other["phash"]):
            return equal
        return (int(one["phash"], 16) ^ int(other["phash"], 16)).bit_count() <= distance

    by_name = {one["input"]: one for one in rows}
    stay = [one for one in rows if one["input"] not in found]
    assert not any(alike(a, b) for a in stay for b in stay if a is not b)
    for name, drop in found.items():
        assert drop.like not in found
        assert alike(by_name[name], by_name[drop.like])


def test_a_recipe_without_the_hash_is_refused(tmp_path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: r\nmakes: scenes\nsteps: [decode]\nclosing:\n  - duplicates\n")
    with pytest.raises(RecipeError, match="needs the step 'phash'") as error:
        build(*load_recipe(str(path)))
    assert error.value.where == f"{path}:5"
    assert build(*load_recipe(str(path), ["closing=[]"])).closing == ()


@pytest.mark.parametrize(
    ("closing", "said"),
    [
        ("[duplicate]", "no closing step 'duplicate'"),
        ("[{duplicates: {max_distance: 64}}]", "less than or equal to 32"),
        ("[{duplicates: {maximum: 6}}]", "no parameter 'maximum'"),
        ("[decode]", "no closing step 'decode'"),
        ("decode", "a list of closing steps"),
    ],
)
def test_mistakes_are_found_before_any_work(tmp_path, closing: str, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(f"name: r\nmakes: scenes\nsteps: [decode, phash]\nclosing: {closing}\n")
    with pytest.raises(RecipeError, match=said):
        build(*load_recipe(str(path)))


def test_pairs_cannot_be_closed_so(tmp_path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: r\nmakes: pairs\nsteps: [decode, phash]\nclosing: [duplicates]\n")
    with pytest.raises(RecipeError, match="is for scenes, not for pairs"):
        build(*load_recipe(str(path)))
