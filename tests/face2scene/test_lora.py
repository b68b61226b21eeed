"""Adapters: which modules, how strong, kept as they are and fused."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_weights.sd_turbo import shake

from inscene.errors import VerificationError
from inscene.face2scene import lora
from inscene.face2scene.base import build_base
from inscene.face2scene.config import Lora
from inscene.face2scene.document import LORA_FILE
from inscene.face2scene.families import find_family

LORA = Lora(unet_rank=4, vae_rank=2)
LATENTS = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
CONTEXT = torch.randn(1, 98, 32, generator=torch.Generator().manual_seed(1))
IMAGES = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1


@torch.no_grad()
def _noise(unet):
    return unet(LATENTS, 249, encoder_hidden_states=CONTEXT.to(unet.dtype)).sample


@torch.no_grad()
def _latents(vae):
    return vae.encode(IMAGES.to(vae.dtype)).latent_dist.mode()


def _base(dtype=torch.float32):
    base = build_base(find_family("tiny"), seed=3, dtype=dtype)
    shake(base.unet)  # a last convolution of zeros hides all adapters before it
    return base


def _adapted(chosen=LORA, dtype=torch.float32):
    torch.manual_seed(4)
    base = _base(dtype)
    for model in (base.unet, base.vae):
        lora.add(model, chosen)
        shake(model, seed=5)
    return base


def test_new_adapters_change_nothing():
    base = _base()
    before = _noise(base.unet), _latents(base.vae)
    lora.add(base.unet, LORA)
    lora.add(base.vae, LORA)
    assert torch.equal(_noise(base.unet), before[0])
    assert torch.equal(_latents(base.vae), before[1])


def test_modules():
    base = _adapted()
    of_unet, of_vae = lora.targets(base.unet), lora.targets(base.vae)
    assert all(name.endswith(tuple(f".{end}" for end in lora.UNET_TARGETS)) or name == "conv_out"
               for name in of_unet)  # fmt: skip
    assert {"conv_out", "mid_block.attentions.0.proj_in"} <= set(of_unet)
    assert not {"conv_in", "time_embedding.linear_1"} & set(of_unet)
    assert all(name.startswith("encoder.") for name in of_vae)
    assert {"encoder.conv_in", "encoder.conv_out"} <= set(of_vae)
    assert "quant_conv" not in of_vae


def test_the_middle_of_a_normal_distribution():
    unet = build_base(find_family("tiny")).unet
    torch.manual_seed(0)
    lora.add(unet, LORA)
    downs = torch.cat([
        parameter.flatten() for name, parameter in unet.named_parameters() if ".lora_A." in name
    ])  # fmt: skip
    # peft's "gaussian": a deviation of 1/rank.
    assert downs.std().item() == pytest.approx(1 / LORA.unet_rank, rel=0.02)
    assert abs(downs.mean().item()) < 0.01


@settings(max_examples=6, deadline=None)
@given(alpha=st.sampled_from([1.0, 2.5, 8.0, 32.0]), rank=st.sampled_from([1, 4, 32]))
def test_the_strength_is_alpha_over_rank(alpha, rank):
    base = _base()
    lora.add(base.unet, Lora(unet_rank=rank, alpha=alpha))
    layer = base.unet.get_submodule("conv_out")
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x = torch.randn(1, 32, 5, 5)
    adapted = torch.nn.functional.conv2d(
        torch.nn.functional.conv2d(x, down, padding=1), up
    )  # fmt: skip
    expected = layer.base_layer(x) + alpha / rank * adapted
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_and_loaded_is_the_same(tmp_path, dtype):
    trained, fresh = _adapted(dtype=dtype), _base(dtype)
    for name in ("unet", "vae"):
        lora.save(getattr(trained, name), tmp_path / name)
        lora.load(getattr(fresh, name), tmp_path / name, LORA)
    # Not adapters, and so not in the files.
    fresh.unet.conv_in.load_state_dict(trained.unet.conv_in.state_dict())
    fresh.unet.conv_out.base_layer.load_state_dict(trained.unet.conv_out.base_layer.state_dict())
    for name in ("unet", "vae"):
        old, new = getattr(trained, name).state_dict(), getattr(fresh, name).state_dict()
        assert old.keys() == new.keys()
        assert all(torch.equal(old[key], new[key]) for key in old)
    if dtype == torch.float32:
        assert torch.equal(_noise(trained.unet), _noise(fresh.unet))
        assert torch.equal(_latents(trained.vae), _latents(fresh.vae))
        assert not torch.equal(_latents(trained.vae), _latents(_base().vae))


def test_diffusers_reads_the_file_too(tmp_path):
    """So a published adapter is of use without this package, at the same strength."""
    trained, other = _adapted(), _base()
    lora.save(trained.vae, tmp_path)
    other.vae.load_lora_adapter(tmp_path, prefix=None, weight_name=LORA_FILE)
    assert torch.equal(_latents(other.vae), _latents(trained.vae))


def test_the_same_bytes_and_no_path_of_this_machine(tmp_path):
    trained = _adapted()
    lora.save(trained.unet, tmp_path / "a")
    lora.save(trained.unet, tmp_path / "b")
    content = (tmp_path / "a" / LORA_FILE).read_bytes()
    assert content == (tmp_path / "b" / LORA_FILE).read_bytes()
    with safe_open(tmp_path / "a" / LORA_FILE, "pt") as opened:
        metadata = json.loads(opened.metadata()[lora.METADATA_KEY])
    assert (metadata["r"], metadata["lora_alpha"]) == (4, 8)
    assert metadata["target_modules"] == sorted(lora.UNET_TARGETS)
    assert metadata["base_model_name_or_path"] is None


def _strip(folder, **changes):
    """Without its metadata, or with another value in it."""
    file = folder / LORA_FILE
    with safe_open(file, "pt") as opened:
        metadata = json.loads(opened.metadata()[lora.METADATA_KEY])
    state = load_file(file)
    kept = {lora.METADATA_KEY: json.dumps(metadata | changes)} if changes else None
    save_file(state, file, kept)


def test_stripped_metadata_without_alpha_is_refused(tmp_path):
    lora.save(_adapted().vae, tmp_path)
    _strip(tmp_path)
    unsaid = Lora.model_validate({"unet_rank": 4, "vae_rank": 2})
    vae = _base().vae
    with pytest.raises(VerificationError, match=r"lora\.alpha"):
        lora.load(vae, tmp_path, unsaid)
    assert lora.targets(vae) == []


def test_stripped_metadata_with_alpha_has_the_trained_strength(tmp_path):
    """What other loaders do, alpha = rank, would be a quarter of it."""
    trained, fresh, wrong = _adapted(), _base(), _base()
    lora.save(trained.vae, tmp_path)
    _strip(tmp_path)
    lora.load(fresh.vae, tmp_path, Lora(unet_rank=4, vae_rank=2, alpha=8))
    assert torch.equal(_latents(fresh.vae), _latents(trained.vae))
    assert fresh.vae.get_submodule("encoder.conv_in").scaling["default"] == 4
    wrong.vae.load_lora_adapter(
        tmp_path, prefix=None, weight_name=LORA_FILE, adapter_name="default"
    )
    assert wrong.vae.get_submodule("encoder.conv_in").scaling["default"] == 1
    assert not torch.equal(_latents(wrong.vae), _latents(trained.vae))


@pytest.mark.parametrize(
    "changes",
    [{"lora_alpha": 16}, {"r": 4}, {"use_rslora": True}, {"alpha_pattern": {"conv_in": 3}}],
)
def test_contradicting_metadata_is_refused(tmp_path, changes):
    lora.save(_adapted().vae, tmp_path)
    _strip(tmp_path, **changes)
    vae = _base().vae
    with pytest.raises(VerificationError, match=f"metadata says {next(iter(changes))}="):
        lora.load(vae, tmp_path, LORA)
    assert lora.targets(vae) == []


def test_tensors_of_another_model_are_refused(tmp_path):
    trained = _adapted()
    lora.save(trained.vae, tmp_path)
    file = tmp_path / LORA_FILE
    state = load_file(file)
    state.pop(next(iter(state)))
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    save_file(state, file, metadata)
    vae = _base().vae
    with pytest.raises(VerificationError, match="does not fit"):
        lora.load(vae, tmp_path, LORA)
    assert lora.targets(vae) == []
    assert torch.equal(_latents(vae), _latents(_base().vae))


def test_fused_is_the_same_up_to_rounding():
    base = _adapted()
    before = _noise(base.unet), _latents(base.vae)
    plain = build_base(find_family("tiny"))
    for model, bare in ((base.unet, plain.unet), (base.vae, plain.vae)):
        lora.fuse(model)
        lora.fuse(model)  # of which nothing is left to fuse
        assert lora.targets(model) == []
        assert model.state_dict().keys() == bare.state_dict().keys()
    torch.testing.assert_close(_noise(base.unet), before[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(_latents(base.vae), before[1], atol=1e-4, rtol=1e-4)
    lora.add(base.unet, LORA)  # it is a model without adapters again
    assert len(lora.targets(base.unet)) == 72


def test_the_state_below():
    base, plain = _adapted(), build_base(find_family("tiny"), seed=3)
    state, wanted = lora.plain_state(base.vae), plain.vae.state_dict()
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)
    assert lora.plain_state(base.unet).keys() == plain.unet.state_dict().keys()
