"""A restorer's training under DINO and LPIPS-VGG as they are published: names, shapes and files;
only the weights are random. Pulled from a hub on this machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from loopback.pulled import pulled
from made_restorer import tiny, write_photos
from torch import nn

from inscene.face2scene.discriminator import Dino
from inscene.face2scene.perceptual import LpipsVgg
from inscene.training.restorer.model import build_pipeline
from inscene.training.restorer.run import plan
from inscene.training.restorer.task import RestorerTask
from inscene.weights import MissingWeightError

pytest.importorskip("torchvision", reason="LPIPS-VGG needs it (extra: bench)")

RECIPE = tiny(
    critic="dino", perceptual="lpips-vgg", validation={"images": 0}, update_mode="sequential"
)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory):
    photos = write_photos(tmp_path_factory.mktemp("eyes") / "photos", 3)
    return plan(RECIPE, [str(photos)], str(photos.parent / "run"))


@pytest.fixture(scope="module")
def task(planned, tmp_path_factory: pytest.TempPathFactory, inscene) -> Iterator[RestorerTask]:
    folder = tmp_path_factory.mktemp("weights")
    with pulled(["dino-vitb16", "lpips-vgg", "vgg16-imagenet"], folder, inscene):
        pipeline = build_pipeline(RECIPE.model, RECIPE.seed)
        yield RestorerTask(RECIPE, planned.samples, pipeline, torch.device("cpu"), folder)


def sums(module: nn.Module) -> dict[str, float]:
    """Of each tensor, in the order of its bytes: enough to see that it was left alone."""
    return {name: one.double().sum().item() for name, one in module.state_dict().items()}


def test_gradients_go_through_them_and_not_into_them(task: RestorerTask) -> None:
    eyes = task._critic.backbone, task._perceptual
    assert isinstance(eyes[0], Dino)
    assert isinstance(eyes[1], LpipsVgg)
    heads, unet = task._critic.heads, task.pipeline.restorer.unet
    left, moved = [sums(one) for one in eyes], [sums(one) for one in (heads, unet)]
    scalars = task.step(task.data.batch(0), 0)
    assert {"perceptual", "adversarial", "real", "fake"} <= scalars.keys()
    assert all(math.isfinite(one) for one in scalars.values())
    assert scalars["perceptual"] > 0
    assert [sums(one) for one in eyes] == left
    assert not any(one.requires_grad for eye in eyes for one in eye.parameters())
    for before, module in zip(moved, (heads, unet), strict=True):
        after = sums(module)
        assert {name for name in before if after[name] != before[name]}


def test_both_losses_reach_the_generator(task: RestorerTask) -> None:
    """Alone, each of them."""
    images = torch.rand((1, 3, 32, 32), requires_grad=True)
    other = torch.rand((1, 3, 32, 32))
    perceptual = task._perceptual(images, other).sum()
    adversarial = sum(one.sum() for one in task._critic(images, torch.Generator().manual_seed(0)))
    for loss in (perceptual, adversarial):
        (gradient,) = torch.autograd.grad(loss, images)
        assert gradient.abs().sum() > 0


def test_missing_ones_are_named_before_a_step_is_taken(
    planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path))
    pipeline = build_pipeline(RECIPE.model, RECIPE.seed)
    with pytest.raises(MissingWeightError, match="inscene weights pull dino-vitb16"):
        RestorerTask(RECIPE, planned.samples, pipeline, torch.device("cpu"), tmp_path)
