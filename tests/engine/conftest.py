from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent

# Steps of the tests are imported by name in this process and, through the environment, in workers.
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
)

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
