"""Retrieval within batches as the training's: of few operators, with few images each."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from made_restorer import write_photos
from torch import Tensor

from inscene.face2scene.similarity import retrieval_accuracy
from inscene.training.fadex.recipe import FadexRecipe
from inscene.training.fadex.run import plan
from inscene.training.fadex.task import build_fadex
from inscene.training.fadex.validation import FadexValidation

VALIDATION = {"images": 4, "operators": 5, "presets": []}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_photos(tmp_path_factory.mktemp("photos"), 40, 56, 52))


def made(photos: str, **validation: Any) -> tuple[FadexRecipe, FadexValidation]:
    recipe = FadexRecipe.model_validate(
        {
            "family": "tiny", "operators": 3, "images": 2, "view_px": 32,
            "data": {"crop_px": 40}, "validation": VALIDATION | validation,
        }
    )  # fmt: skip
    return recipe, FadexValidation(plan(recipe, [photos], "run").samples, recipe, Path("unused"))


def expected(codes: Tensor) -> float:
    """The mean over every batch that there is."""
    images, operators = codes.shape[:2]
    found = []
    for rows in itertools.combinations(range(images), 2):
        for columns in itertools.combinations(range(operators), 3):
            part = codes[list(rows)][:, list(columns)].flatten(0, 1)
            labels, contents = torch.arange(3).repeat(2), torch.arange(2).repeat_interleave(3)
            found.append(retrieval_accuracy(part, labels, contents))
    return sum(found) / len(found)


def test_it_is_the_mean_over_batches(photos: str) -> None:
    recipe, validation = made(photos, draws=800)
    fadex = build_fadex(recipe).eval()
    scalars = validation.measure(fadex, torch.device("cpu"), 0)
    drawn = validation._drawn
    assert drawn is not None
    codes = drawn.codes(fadex.eval(), torch.device("cpu"))
    assert codes.shape[:2] == (4, 5)
    assert scalars["batch_retrieval"] == pytest.approx(expected(codes), abs=0.03)
    assert scalars["batch_retrieval"] > scalars["retrieval"]  # three to choose from, and not five


def test_the_draws_are_the_seeds(photos: str) -> None:
    codes = torch.randn((4, 5, 8), generator=torch.Generator().manual_seed(0))
    found = [made(photos, draws=7)[1]._in_batches(codes) for _ in range(2)]
    assert found[0] == found[1]
    assert made(photos, draws=8)[1]._in_batches(codes) != found[0]


def test_too_few_for_a_batch(photos: str) -> None:
    recipe, validation = made(photos, operators=2)
    scalars = validation.measure(build_fadex(recipe).eval(), torch.device("cpu"), 0)
    assert "batch_retrieval" not in scalars
    assert "retrieval" in scalars
