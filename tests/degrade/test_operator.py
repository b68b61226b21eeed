"""Operators as values: equal, frozen, and the same after JSON and pickle."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from inscene.degrade import Operator, load_profile
from inscene.errors import UsageError
from inscene.seeds import Draws

PROFILES = {name: load_profile(name) for name in ("s3diff", "realesrgan", "faceme")}

operators = st.builds(
    lambda profile, key: Operator.draw(profile, Draws(key)),
    st.sampled_from(list(PROFILES.values())),
    st.integers(0, 2**40),
)


@settings(deadline=None, derandomize=True)
@given(operators, st.randoms(use_true_random=False))
def test_json_round_trip(operator: Operator, shuffler: random.Random) -> None:
    text = operator.to_json()
    assert Operator.from_json(text) == operator
    assert Operator.from_dict(operator.to_dict()) == operator
    assert Operator.from_json(text).to_json() == text

    data = json.loads(text)
    keys = list(data)
    shuffler.shuffle(keys)
    laid_out_otherwise = json.dumps({key: data[key] for key in keys}, indent=2)
    assert Operator.from_json(laid_out_otherwise).operator_id == operator.operator_id


@settings(deadline=None, derandomize=True)
@given(operators)
def test_pickle_round_trip(operator: Operator) -> None:
    copy = pickle.loads(pickle.dumps(operator))
    assert copy == operator
    assert hash(copy) == hash(operator)
    assert copy.operator_id == operator.operator_id


def test_the_id_is_a_hash_of_all_that_matters(draw: Callable[..., Operator]) -> None:
    plain = draw("s3diff", 0)
    assert len(bytes.fromhex(plain.operator_id)) == 16
    variants = [
        plain,
        draw("s3diff", 1),
        draw("s3diff", 0, registration="legacy"),
        draw("s3diff", 0, jpeg_backend="libjpeg"),
        draw("s3diff", 0, usm=True),
        draw("s3diff", 0, sf=2),
    ]
    assert len({operator.operator_id for operator in variants}) == len(variants)


def test_whole_numbers_are_the_floats_they_mean(draw: Callable[..., Operator]) -> None:
    data = draw("faceme", 0).to_dict()
    data["first"]["jpeg"]["quality"] = 50
    whole = Operator.from_dict(data)
    data["first"]["jpeg"]["quality"] = 50.0
    assert whole.operator_id == Operator.from_dict(data).operator_id


def test_operators_are_frozen(draw: Callable[..., Operator]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        draw("s3diff", 0).sf = 2  # type: ignore[misc]


def change(data: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    *parents, last = path.split(".")
    inner = data
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("sem", 2, ["sem=2", "sem=1", "version of inscene"]),
        ("sem", "1", ["sem='1'"]),
        ("gamma", 2.2, ["unknown key 'gamma'"]),
        ("registraton", "exact", ["unknown key 'registraton'", "Did you mean 'registration'?"]),
        ("first.resize.scael", 1.0, ["unknown key 'first.resize.scael'", "'scale'?"]),
        ("exact", True, ["unknown key 'exact'"]),
        ("first.blur.sigma_z", 1.0, ["unknown key 'first.blur.sigma_z'", "'sigma_y'?"]),
        ("first.noise", [{"kind": "poisson", "gray": True}], ["'first.noise.0.scale' is missing"]),
        ("first.blur.family", "round", ["first.blur", "'plateau_iso'"]),
        ("first.jpeg.quality", 0, ["first.jpeg.quality", "greater than or equal to 1"]),
        ("first.jpeg.quality", "75", ["first.jpeg.quality", "valid number"]),
        ("final.order", "C", ["final.order", "resize_sinc_jpeg"]),
        ("first.noise", None, ["first.noise"]),
    ],
)
def test_what_does_not_fit_is_named(
    draw: Callable[..., Operator], path: str, value: object, parts: list[str]
) -> None:
    data = change(draw("s3diff", 0).to_dict(), path, value)
    with pytest.raises(UsageError) as caught:
        Operator.from_json(json.dumps(data))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '"x"'])
def test_what_is_no_operator_at_all(text: str) -> None:
    with pytest.raises(UsageError, match="no degradation operator"):
        Operator.from_json(text)


def test_missing_keys_and_strange_objects(draw: Callable[..., Operator]) -> None:
    data = draw("s3diff", 0).to_dict()
    del data["first"]["jpeg"]
    with pytest.raises(UsageError, match=r"'first\.jpeg' is missing"):
        Operator.from_dict(data)
    with pytest.raises(UsageError, match="no degradation operator"):
        Operator.from_dict({"sem": object()})
    data = draw("s3diff", 0).to_dict()
    data["first"]["jpeg"]["quality"] = float("nan")
    with pytest.raises(UsageError, match=r"first\.jpeg\.quality"):
        Operator.from_dict(data)
