"""Recipes: every mistake is found before work starts, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from inscene.engine.registry import build
from inscene.errors import RecipeError
from inscene.recipe import content_hash, load_recipe
from inscene.shipped import shipped_names

GOOD = """\
name: mine
makes: scenes
steps:
  - decode:
      max_megapixels: 40
"""


def load(tmp_path: Path, text: str, *overrides: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    recipe, source = load_recipe(str(path), overrides)
    return build(recipe, source)


OF_STEPS = [name for name in shipped_names("pipelines") if not name.startswith("train-")]


@pytest.mark.parametrize("name", OF_STEPS)
def test_shipped_recipes_build(name: str) -> None:
    recipe, source = load_recipe(name)
    assert build(recipe, source).recipe.name == name


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("makes: scenes", "makes: scene"), 2, "Did you mean 'scenes'"),
        (("name: mine", "nam: mine"), 1, "Did you mean 'name'"),
        (("max_megapixels", "max_megapixel"), 5, "Did you mean 'max_megapixels'"),
        (("- decode:", "- decod:"), 4, "Did you mean 'decode'"),
        (("40", "-1"), 5, "greater than 0"),
        (("40", "many"), 5, "valid number"),
        (("steps:", "steps: ["), 4, "not valid YAML"),
        (("makes: scenes", "makes: scenes\nshard_rows: 1000"), 3, "less than or equal to 256"),
    ],
)
def test_mistakes_name_file_line_and_remedy(tmp_path, change, line, words) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, GOOD.replace(*change))
    assert words in str(caught.value)
    assert f"mine.yaml:{line}" in str(caught.value)


def test_overrides(tmp_path: Path) -> None:
    built = load(tmp_path, GOOD, "seed=7", "decode.max_megapixels=20")
    assert built.recipe.seed == 7
    assert built.steps[0][1].max_megapixels == 20.0
    for override, words in (
        ("seed", "is not KEY=VALUE"),
        ("sede=1", "Did you mean 'seed'"),
        ("decod.max_megapixels=1", "Did you mean 'decode'"),
        ("decode.max_megapixel=1", "Did you mean 'max_megapixels'"),
        ("decode=nul", r"'decode' is a step.*decode\.NAME=VALUE.*decode=null"),
    ):
        with pytest.raises(RecipeError, match=words):
            load(tmp_path, GOOD, override)


def test_the_hash_is_of_the_meaning_not_of_the_text(tmp_path: Path) -> None:
    as_written = load(tmp_path, GOOD).hash
    assert load(tmp_path, "# a comment\n" + GOOD.replace("40", "40.0")).hash == as_written
    assert load(tmp_path, GOOD + "batch_rows: 3\n").hash == as_written  # the result is the same
    assert load(tmp_path, GOOD + "seed: 1\n").hash != as_written
    assert (
        load(tmp_path, GOOD, "decode.max_megapixels=80").hash
        == load(tmp_path, GOOD.replace(":\n      max_megapixels: 40", "")).hash
    )  # a default that is written out


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_hash({"x": float("nan")})
