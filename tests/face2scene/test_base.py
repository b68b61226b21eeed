"""The base: random ones, and SD-Turbo's official layout through the real loaders."""

from __future__ import annotations

import json

import pytest
import torch
from loopback.pulled import pulled
from safetensors.torch import load_file
from tiny_weights.sd_turbo import build

from inscene.errors import UsageError, VerificationError
from inscene.face2scene.base import build_base, load_base, must_be_trainable
from inscene.face2scene.config import BaseModels, Face2SceneConfig, Schedule
from inscene.face2scene.families import find_family
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.weights.locate import MissingWeightError


@pytest.fixture(scope="module")
def sd_turbo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sd-turbo")
    build(folder)
    return folder


def test_the_same_seed_is_the_same_base():
    family = find_family("tiny")
    before = torch.get_rng_state()
    one, same, other = (build_base(family, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [base.vae.encoder.conv_in.weight for base in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_random_unet_begins_by_seeing_no_noise():
    unet = build_base(find_family("tiny")).unet
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    noise = unet(latents, 249, encoder_hidden_states=torch.ones(1, 77, 32)).sample
    assert torch.equal(noise, torch.zeros_like(latents))


def test_the_official_layout(sd_turbo):
    base = load_base(Face2SceneConfig(), sd_turbo, torch.bfloat16)
    assert base.folder == sd_turbo
    for part, model in (("unet", base.unet), ("vae", base.vae)):
        stored = load_file(sd_turbo / part / "diffusion_pytorch_model.safetensors")
        state = model.state_dict()
        assert state.keys() == stored.keys()
        assert all(torch.equal(state[name], stored[name].bfloat16()) for name in stored)
        assert not model.training


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("scheduler/scheduler_config.json", "beta_end", 0.02),
        ("scheduler/scheduler_config.json", "prediction_type", "v_prediction"),
        ("scheduler/scheduler_config.json", "beta_schedule", "linear"),
        ("vae/config.json", "scaling_factor", 0.13025),
    ],
)
def test_another_diffusion_is_refused(tmp_path, path, key, value):
    build(tmp_path)
    stated = json.loads((tmp_path / path).read_text())
    (tmp_path / path).write_text(json.dumps(stated | {key: value}))
    with pytest.raises(VerificationError, match=key):
        load_base(Face2SceneConfig(), tmp_path)


def test_another_schedule_than_the_bases_is_refused(sd_turbo):
    config = Face2SceneConfig(schedule=Schedule(train_timesteps=500, timestep=499))
    with pytest.raises(VerificationError, match="num_train_timesteps=1000"):
        load_base(config, sd_turbo)


@pytest.mark.parametrize("trainable", ["unet", "full"])
def test_more_than_adapters_of_somebody_elses_base(trainable):
    with pytest.raises(UsageError, match=f"trainable: {trainable}"):
        must_be_trainable(Face2SceneConfig(trainable=trainable))
    must_be_trainable(Face2SceneConfig(trainable=trainable, base=None))


def test_no_base_to_load():
    with pytest.raises(ValueError, match="no base"):
        load_base(Face2SceneConfig(base=None))


def test_weights_that_are_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeightError, match="inscene weights pull sd-turbo"):
        load_base(Face2SceneConfig())


def test_pulled_as_a_user_does(tmp_path, inscene):
    """From the hub at a loopback address, by the command, to a model that restores."""
    with pulled(["sd-turbo"], tmp_path, inscene):
        base = load_base(Face2SceneConfig())
        assert base.folder == tmp_path / "weights" / "sd-turbo"
        pipeline = Face2ScenePipeline.from_family("sd-turbo")
        assert pipeline.config.base == BaseModels()  # the test's manifest has no revision
        scene = torch.zeros(3, 64, 64)
        (restored,) = pipeline([scene], [None])
        assert restored.shape == scene.shape
        text = base.folder / "text_encoder" / "model.safetensors"
        text.write_bytes(text.read_bytes()[:-1] + b"x")
        with pytest.raises(VerificationError, match="text_encoder/model"):
            load_base(Face2SceneConfig())
