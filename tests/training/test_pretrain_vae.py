"""A random VAE becomes an autoencoder, and its latents are brought to scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from synthetic_photos import synthetic_photo
from torch import Tensor

from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.face2scene.updates import NonFiniteLossError
from inscene.training.restorer.data import tensor_of
from inscene.training.restorer.pretrain_vae import VaeTraining, reconstructed, scaling_factor
from inscene.training.restorer.recipe import ModelChoice, PretrainVae


@pytest.fixture
def pipeline() -> Face2ScenePipeline:
    return Face2ScenePipeline.from_family("tiny", seed=3)


@pytest.fixture(scope="module")
def crops() -> Tensor:
    photos = [np.asarray(synthetic_photo(seed, 32, 32)) for seed in range(4)]
    return torch.stack([tensor_of(photo) for photo in photos])


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def error(pipeline: Face2ScenePipeline, crops: Tensor) -> float:
    return (reconstructed(pipeline.restorer.vae, crops) - crops).square().mean().item()


def test_it_learns_to_reconstruct_and_nothing_else_changes(
    pipeline: Face2ScenePipeline, crops: Tensor
) -> None:
    unet = {name: one.clone() for name, one in pipeline.restorer.unet.state_dict().items()}
    training = VaeTraining(pipeline.restorer.vae, PretrainVae(learning_rate=3e-3))
    before = error(pipeline, crops)
    for step in range(12):
        scalars = training.step([crops[:3], crops[3:]], rng(step))
        assert scalars.keys() == {"vae_pixel", "vae_kl", "vae_gradient"}
        assert all(map(math.isfinite, scalars.values()))
    assert error(pipeline, crops) < 0.75 * before
    after = pipeline.restorer.unet.state_dict()
    assert all(torch.equal(one, after[name]) for name, one in unet.items())
    assert all(one.grad is None for one in pipeline.restorer.vae.parameters())


def test_rates_fall_along_half_a_cosine(pipeline: Face2ScenePipeline, crops: Tensor) -> None:
    settings = PretrainVae(steps=4, learning_rate=1e-3, final_rate=0.2)
    training = VaeTraining(pipeline.restorer.vae, settings)
    rates = []
    for step in (0, 2, 4):
        training.step([crops[:1]], rng(), step)
        rates.append({group["lr"] for group in training.optimiser.param_groups})
    assert [one for (one,) in rates] == pytest.approx([1e-3, 0.6e-3, 0.2e-3])


def test_micro_batches_are_one_batch(crops: Tensor) -> None:
    """But for the draws of the latents, which the divergence's mean does not have."""
    divergences = []
    for sizes in ([4], [1, 3]):
        vae = Face2ScenePipeline.from_family("tiny", seed=3).restorer.vae
        scalars = VaeTraining(vae, PretrainVae()).step(list(crops.split(sizes)), rng())
        divergences.append(scalars["vae_kl"])
    assert divergences[0] == pytest.approx(divergences[1], rel=1e-4)


def test_scaled_latents_have_a_deviation_of_one(
    pipeline: Face2ScenePipeline, crops: Tensor
) -> None:
    vae = pipeline.restorer.vae
    factor = scaling_factor(vae, [crops[:1], crops[1:]])
    with torch.no_grad():
        latents = vae.encode(crops).latent_dist.mode() * factor
    assert latents.std(correction=0).item() == pytest.approx(1, rel=1e-4)


def test_adapters_are_left_alone(crops: Tensor) -> None:
    config = ModelChoice(family="tiny", trainable="lora").config()
    vae = Face2ScenePipeline.from_family("tiny", config=config).restorer.vae
    before = {name: one.clone() for name, one in vae.state_dict().items()}
    VaeTraining(vae, PretrainVae()).step([crops], rng())
    changed = {name for name, one in vae.state_dict().items() if not torch.equal(one, before[name])}
    assert changed
    assert not [name for name in changed if "lora" in name]
    assert not [name for name in before if "lora" not in name and name not in changed]


def test_a_loss_that_is_none_changes_nothing(pipeline: Face2ScenePipeline, crops: Tensor) -> None:
    vae = pipeline.restorer.vae
    before = {name: one.clone() for name, one in vae.state_dict().items()}
    with pytest.raises(NonFiniteLossError, match="vae_pixel"):
        VaeTraining(vae, PretrainVae()).step([crops * math.nan], rng())
    assert all(torch.equal(one, before[name]) for name, one in vae.state_dict().items())
