"""The tiny model from random weights to a restored scene: FaDeX, Stage II, a checkpoint, inference,
on images that the real degradations made."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_photos import synthetic_photo
from torch import Tensor, nn

from inscene.degrade.apply import degrade, enlarge
from inscene.degrade.operator import load_operator
from inscene.face2scene.discriminator import Discriminator, RandomBackbone
from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.generator import TrainableRestorer
from inscene.face2scene.momentum import MomentumEncoder, Queue
from inscene.face2scene.perceptual import RandomPerceptual
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.face2scene.stage_one import (
    StageOne,
    StageOneBatch,
    StageOneSettings,
    fadex_optimiser,
)
from inscene.face2scene.stage_two import (
    Optimisation,
    StageTwo,
    StageTwoBatch,
    StageTwoSettings,
    discriminator_optimiser,
    generator_optimiser,
)
from inscene.face2scene.views import view

PRESETS = ("d1", "d2", "d3", "d4")
CONTENTS = 3
SIDE_PX = 64
FACE = slice(8, 56)


def tensor_of(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 127.5 - 1


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Tensor, Tensor, int]]:
    """LQ, HQ and the number of the preset, each preset with each content."""
    made = []
    for content in range(CONTENTS):
        clean = np.asarray(synthetic_photo(content, SIDE_PX, SIDE_PX))
        for number, preset in enumerate(PRESETS):
            lq = degrade(clean, load_operator(preset), noise_seed=content)
            lq = enlarge(lq, (SIDE_PX, SIDE_PX))
            made.append((tensor_of(lq), tensor_of(clean), number))
    return made


def face_of(lq: Tensor, hq: Tensor) -> FacePair:
    return FacePair(lq[:, FACE, FACE], hq[:, FACE, FACE])


def changed(before: dict[str, Tensor], module: nn.Module) -> set[str]:
    return {name for name, one in module.state_dict().items() if not torch.equal(one, before[name])}


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: one.clone() for name, one in module.state_dict().items()}


def train_fadex(
    pipeline: Face2ScenePipeline, scenes: list[tuple[Tensor, Tensor, int]], steps: int
) -> list[float]:
    rng = np.random.default_rng(0)
    faces = [face_of(lq, hq) for lq, hq, _ in scenes]
    views = [[view(face, 32, rng) for face in faces] for _ in range(2)]
    batch = StageOneBatch(
        query_hq=torch.stack([one.hq for one in views[0]]),
        query_lq=torch.stack([one.lq for one in views[0]]),
        key_hq=torch.stack([one.hq for one in views[1]]),
        key_lq=torch.stack([one.lq for one in views[1]]),
        operators=torch.tensor([number for *_, number in scenes]),
    )
    encoder, settings = pipeline.fadex.train(), StageOneSettings()
    dim = encoder.config["embedding_dim"]
    stage = StageOne(
        encoder,
        MomentumEncoder(encoder),
        Queue(len(scenes), dim),
        fadex_optimiser(encoder, settings),
        settings,
    )
    return [stage.step(batch)["loss"] for _ in range(steps)]


def test_from_random_weights_to_a_restored_scene(
    scenes: list[tuple[Tensor, Tensor, int]], tmp_path: Path
) -> None:
    pipeline = Face2ScenePipeline.from_family("tiny", seed=1)
    before = {name: state_of(getattr(pipeline, name)) for name in ("fadex", "mapnet", "restorer")}
    losses = train_fadex(pipeline, scenes, 30)
    assert all(map(math.isfinite, losses))
    # From the second on: the first has an empty queue, and less to tell apart.
    assert sum(losses[-5:]) < 0.8 * sum(losses[1:6])
    assert changed(before["fadex"], pipeline.fadex)

    generator = TrainableRestorer(pipeline)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        discriminator = Discriminator(RandomBackbone(), hidden=8)
    rates = Optimisation(learning_rate=1e-3, mapnet_learning_rate=1e-3)
    stage = StageTwo(
        generator,
        discriminator,
        RandomPerceptual(),
        generator_optimiser(generator, rates),
        discriminator_optimiser(discriminator, rates),
        StageTwoSettings.of_family("tiny"),
    )
    fadex, critic = state_of(pipeline.fadex), state_of(discriminator)
    rng = torch.Generator().manual_seed(3)
    micro = [
        StageTwoBatch(
            torch.stack([lq for lq, *_ in part]),
            torch.stack([hq for _, hq, _ in part]),
            [face_of(lq, hq) for lq, hq, _ in part],
        )
        for part in (scenes[:2], scenes[2:4])
    ]
    shown = [stage.step(micro, rng) for _ in range(4)]
    assert all(math.isfinite(value) for scalars in shown for value in scalars.values())
    assert changed(fadex, pipeline.fadex) == set()
    assert changed(before["mapnet"], pipeline.mapnet) == set(before["mapnet"])
    trained = changed(before["restorer"], pipeline.restorer)
    assert {".".join(name.split(".")[:2]) for name in trained} >= {"vae.encoder", "vae.decoder"}
    assert {name for name in trained if name.startswith("unet.")}
    critics = changed(critic, discriminator)
    assert {name.split(".")[0] for name in critics} == {"heads"}

    pipeline.save_pretrained(tmp_path / "model")
    loaded = Face2ScenePipeline.from_pretrained(tmp_path / "model")
    lq, hq, _ = scenes[5]
    arguments = ([lq, lq[:, :50, :]], [face_of(lq, hq), None])
    restored, again = pipeline(*arguments), loaded(*arguments)
    assert [tuple(one.shape) for one in restored] == [(3, 64, 64), (3, 50, 64)]
    for one, other in zip(restored, again, strict=True):
        assert torch.isfinite(one).all()
        assert one.abs().max() <= 1
        # Weights read from a file lie at other addresses, which decides the kernels' rounding.
        assert torch.allclose(one, other, atol=1e-4)
    for name in before:
        assert changed(state_of(getattr(pipeline, name)), getattr(loaded, name)) == set()
    assert not torch.allclose(restored[0], lq, atol=1e-3)
