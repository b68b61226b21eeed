"""The one-step restorer: guidance, tiles, gradients, and the negatives it is trained with."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_weights.sd_turbo import shake

from inscene.face2scene import guidance, lora, negatives, vae_tiles
from inscene.face2scene.base import build_base
from inscene.face2scene.config import Lora, Tiling
from inscene.face2scene.families import find_family
from inscene.face2scene.restorer import SceneRestorer

FAMILY = find_family("tiny")
FULL = FAMILY.config
ADAPTED = FULL.model_copy(update={"trainable": "lora"})


def _rng(seed=0):
    return torch.Generator().manual_seed(seed)


def _restorer(seed=1, *, adapted=False):
    base = build_base(FAMILY, seed)
    if adapted:
        torch.manual_seed(seed)
        lora.add(base.unet, Lora(unet_rank=4, vae_rank=2))
        lora.add(base.vae, Lora(unet_rank=4, vae_rank=2))
    shake(base.unet, base.vae)
    return SceneRestorer.of(FULL, base.vae, base.unet)


@pytest.fixture(scope="module")
def restorer():
    return _restorer()


def _images(height=32, width=48, batch=1, seed=0):
    return torch.rand(batch, 3, height, width, generator=_rng(seed)) * 2 - 1


def _context(batch=1, tokens=21, seed=0):
    return torch.randn(batch, 77 + tokens, 32, generator=_rng(100 + seed))


def test_it_is_its_parts(restorer):
    images, context = _images(), _context()
    latents = restorer.vae.encode(images).latent_dist.mode() * FULL.scaling_factor
    noise = restorer.unet(latents, 249, encoder_hidden_states=context).sample
    clean = (latents - (1 - FULL.alpha_bar) ** 0.5 * noise) / FULL.alpha_bar**0.5
    decoded = restorer.vae.decode(clean / FULL.scaling_factor).sample
    torch.testing.assert_close(restorer(images, context), decoded.clamp(-1, 1))


def test_the_scaling_factor_is_used_both_ways():
    base = build_base(FAMILY, 1)
    config = FULL.model_copy(update={"scaling_factor": 0.25})
    scaled = SceneRestorer.of(config, base.vae, base.unet)
    plain = SceneRestorer.of(FULL, base.vae, base.unet)
    torch.testing.assert_close(scaled.encode(_images()), plain.encode(_images()) / 4)
    # The UNet sees no noise yet: scaled there and back.
    torch.testing.assert_close(scaled(_images(), _context()), plain(_images(), _context()))


def test_without_guidance_the_negative_prompt_is_not_looked_at(restorer):
    images, positive = _images(), _context()
    alone = restorer.restore(images, positive)
    assert torch.equal(restorer.restore(images, positive, _context(seed=1)), alone)
    calls = []
    hook = restorer.unet.register_forward_pre_hook(
        lambda module, inputs, named: calls.append(named["encoder_hidden_states"].shape),
        with_kwargs=True,
    )
    restorer.restore(images, positive, _context(seed=1), guidance_scale=1.0)
    restorer.restore(images, positive, _context(seed=1), guidance_scale=1.07)
    hook.remove()
    assert calls == [(1, 98, 32), (2, 98, 32)]


@settings(max_examples=8, deadline=None)
@given(scale=st.floats(1.01, 2), batch=st.integers(1, 2), seed=st.integers(0, 9))
def test_guidance_is_the_papers_formula(restorer, scale, batch, seed):
    images = _images(16, 16, batch, seed)
    positive, negative = _context(batch, seed=seed), _context(batch, seed=seed + 50)
    with torch.no_grad():
        latents = restorer.encode(images)
        without, towards = (restorer.predict(latents, one) for one in (negative, positive))
        noise = without + scale * (towards - without)
        expected = restorer.decode(restorer.one_step.x0(latents, noise)).clamp(-1, 1)
    result = restorer.restore(images, positive, negative, guidance_scale=scale)
    torch.testing.assert_close(result, expected, atol=2e-5, rtol=1e-5)


def test_guidance_goes_to_one_without_a_jump(restorer):
    images, positive, negative = _images(), _context(), _context(seed=1)
    at_one = restorer.restore(images, positive)
    near = restorer.restore(images, positive, negative, guidance_scale=1.000001)
    torch.testing.assert_close(near, at_one, atol=1e-4, rtol=0)
    torch.testing.assert_close(guidance.guided(negative, positive, 1.0), positive, atol=0, rtol=0)


def test_tokens_change_the_result(restorer):
    images, context = _images(), _context()
    other = torch.cat([context[:, :77], _context(seed=7)[:, 77:]], dim=1)
    results = [restorer.restore(images, one) for one in (context, other, context[:, :77])]
    assert not torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_wrong_guidance(restorer):
    with pytest.raises(ValueError, match="begins at 1"):
        restorer.restore(_images(), _context(), guidance_scale=0.5)
    with pytest.raises(ValueError, match=r"\(1, 98, 32\), like the other; got None"):
        restorer.restore(_images(), _context(), guidance_scale=1.1)
    with pytest.raises(ValueError, match=r"got \(1, 77, 32\)"):
        restorer.restore(_images(), _context(), _context(tokens=0), guidance_scale=1.1)


def test_context():
    prompt, tokens = torch.randn(1, 77, 8), torch.randn(3, 5, 8)
    both = guidance.context(prompt, tokens)
    assert both.shape == (3, 82, 8)
    assert torch.equal(both[2], torch.cat([prompt[0], tokens[2]]))
    assert guidance.context(prompt, None) is prompt
    with pytest.raises(ValueError, match="8 channels, degradation tokens 9"):
        guidance.context(prompt, torch.randn(1, 5, 9))


def test_small_scenes_are_not_tiled(restorer):
    images, contexts = _images(), (_context(), _context(seed=1))
    plain = restorer.restore(images, *contexts, guidance_scale=1.07)
    tiled = restorer.restore(images, *contexts, guidance_scale=1.07, tiling=Tiling())
    assert torch.equal(plain, tiled)


def test_tiles_of_the_vae_are_exact_and_those_of_the_unet_are_used(restorer, monkeypatch):
    images = _images(96, 128)
    contexts = _context(), _context(seed=1)
    wide = Tiling(
        latent_tile=64, encoder_tile_px=64, encoder_pad_px=0, decoder_tile=8, decoder_pad=0
    )
    plain = restorer.restore(images, *contexts, guidance_scale=1.07)
    tiled = []
    for name in ("encode", "decode"):
        real = getattr(vae_tiles, name)
        monkeypatch.setattr(
            vae_tiles, name, lambda *given, real=real: tiled.append(given[2:]) or real(*given)
        )
    fits = restorer.restore(images, *contexts, guidance_scale=1.07, tiling=wide)
    assert torch.equal(fits, plain)
    assert tiled == []
    monkeypatch.setattr(vae_tiles, "free_bytes", lambda device: 2**20)
    by_tiles = restorer.restore(images, *contexts, guidance_scale=1.07, tiling=wide)
    torch.testing.assert_close(by_tiles, plain, atol=2e-4, rtol=0)
    assert tiled == [(64, 0), (8, 0)]
    windows = []
    hook = restorer.unet.register_forward_pre_hook(
        lambda module, inputs: windows.append(tuple(inputs[0].shape))
    )
    small = Tiling(latent_tile=8, latent_overlap=4)
    blended = restorer.restore(images, *contexts, guidance_scale=1.07, tiling=small)
    hook.remove()
    assert set(windows) == {(2, 4, 8, 8)}  # both prompts at each place
    assert len(windows) == 2 * 3
    assert blended.shape == images.shape
    assert not torch.equal(blended, plain)


def test_training_samples_latents_and_inference_does_not(restorer):
    images = _images()
    mode = restorer.encode(images)
    assert torch.equal(mode, restorer.encode(images))
    samples = [restorer.encode(images, _rng(seed)) for seed in (1, 1, 2)]
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])
    assert not torch.equal(samples[0], mode)


def test_what_is_trained_with_adapters():
    restorer = _restorer(adapted=True)
    restorer.freeze(ADAPTED)
    trained = {name for name, one in restorer.named_parameters() if one.requires_grad}
    assert {name for name in trained if ".lora_" not in name} == {
        "unet.conv_in.weight",
        "unet.conv_in.bias",
    }
    assert all(name.startswith(("unet.", "vae.encoder.")) for name in trained)
    assert len(trained) == len(restorer.trainable_parameters(ADAPTED))
    without = ADAPTED.model_copy(update={"lora": Lora(train_conv_in=False)})
    restorer.freeze(without)
    assert not restorer.unet.conv_in.weight.requires_grad
    restorer(_images(), _context(), _rng()).square().mean().backward()
    named = dict(restorer.named_parameters())
    assert all((named[name].grad is not None) == named[name].requires_grad for name in named)
    assert any(one.grad.abs().max() > 0 for name, one in named.items() if "vae.encoder" in name
               and one.grad is not None)  # fmt: skip


def test_what_is_trained_as_a_whole():
    restorer = _restorer()
    restorer.freeze(FULL)
    assert all(one.requires_grad for one in restorer.parameters())


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        restorer = _restorer(adapted=True).train()
        restorer.freeze(ADAPTED)
        if checkpointing:
            restorer.enable_gradient_checkpointing()
        restorer(_images(), _context(), _rng()).square().mean().backward()
        gradients.append([one.grad for one in restorer.trainable_parameters(ADAPTED)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=1e-5)


def test_bfloat16():
    single = _restorer(adapted=True)
    half = _restorer(adapted=True)
    for model in (half.vae, half.unet):
        torch.nn.Module.to(model, dtype=torch.bfloat16)
    images, contexts = _images(), (_context(), _context(seed=1))
    exact = single.restore(images, *contexts, guidance_scale=1.07, tiling=Tiling())
    result = half.restore(images.bfloat16(), *contexts, guidance_scale=1.07, tiling=Tiling())
    assert result.dtype == torch.bfloat16
    assert (result.float() - exact).abs().mean() < 0.02


def test_compiled():
    restorer = _restorer()
    images, context = _images(16, 16), _context()
    plain = restorer.restore(images, context)
    restorer.unet.compile(backend="aot_eager")
    torch.testing.assert_close(restorer.restore(images, context), plain, atol=1e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(batch=st.integers(1, 64), probability=st.floats(0, 1), seed=st.integers(0, 99))
def test_negatives_are_a_function_of_the_generator(batch, probability, seed):
    one, same = (negatives.chosen(batch, _rng(seed), probability) for _ in range(2))
    assert torch.equal(one, same)
    lq, hq = torch.full((batch, 3, 2, 2), 1.0), torch.full((batch, 3, 2, 2), 2.0)
    targets = negatives.targets(lq, hq, one)
    assert torch.equal(targets[:, 0, 0, 0], torch.where(one, 1.0, 2.0))
    embeds = negatives.prompts(torch.zeros(1, 77, 4), torch.ones(1, 77, 4), one)
    assert torch.equal(embeds[:, 5, 2], one.float())
    assert embeds.shape == (batch, 77, 4)


def test_how_often():
    assert negatives.chosen(20_000, _rng()).float().mean().item() == pytest.approx(0.05, abs=0.006)
    assert not negatives.chosen(1000, _rng(), 0).any()
    assert negatives.chosen(1000, _rng(), 1).all()
    with pytest.raises(ValueError, match=r"1\.5"):
        negatives.chosen(1, _rng(), 1.5)
