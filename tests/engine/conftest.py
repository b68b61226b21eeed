from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from synthetic_photos import synthetic_photo

HERE = Path(__file__).parent

# Steps of the tests are imported by name in this process and, through the environment, in workers.
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
)

from made import make_table  # noqa: E402

from inscene.engine.run import Workers  # noqa: E402

WriteRecipe = Callable[..., Path]


@pytest.fixture
def write_recipe(tmp_path: Path) -> WriteRecipe:
    """Write a recipe that decodes and then runs the given steps of ``steps_for_tests``."""

    def write(*steps: object, name: str = "test", **head: object) -> Path:
        recipe = {"name": name, "makes": "scenes", "shard_rows": 4, "batch_rows": 2, **head}
        recipe["steps"] = ["decode", *steps]
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe, sort_keys=False))
        return path

    return write


@pytest.fixture
def recipe(write_recipe: WriteRecipe) -> Path:
    """Keeps the wider images and drops the others."""
    return write_recipe({"steps_for_tests:DropNarrow": {"min_width_px": 70}})


@pytest.fixture
def expected(recipe: Path, photo_folder: Path, tmp_path: Path) -> str:
    """The table hash that this recipe gives when nothing is special."""
    return make_table(recipe, [str(photo_folder)], tmp_path / "inline", Workers("inline"))


@pytest.fixture
def poisoned_photos(tmp_path: Path) -> Path:
    """Ten photos, one of them named poison."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(10):
        name = "poison.png" if index == 5 else f"{index}.png"
        synthetic_photo(index, 24, 16).save(folder / name)
    return folder
