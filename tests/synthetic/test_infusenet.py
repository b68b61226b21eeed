"""InfuseNet: what it hands to the control net that it is, and when it is switched off."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_weights.infusenet import INFUSENET, TOKEN_DIM, write_infusenet
from torch import Tensor

pytest.importorskip("diffusers", reason="extra: generate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("infiniteyou") / "InfuseNetModel"
    write_infusenet(folder)
    return folder


@pytest.fixture(scope="module")
def infusenet(folder: Path) -> Any:
    from inscene.quiet import quiet_diffusion

    with quiet_diffusion():
        from inscene.synthetic.generate.infusenet import InfuseNet

        return InfuseNet.from_pretrained(str(folder), local_files_only=True)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(batch: int = 1, **other: Any) -> dict[str, Any]:
    """As the pipeline gives them, for 4 × 4 patches and a prompt of 5 tokens as wide as T5's."""
    ids = torch.zeros(16, 3)
    ids[:, 1], ids[:, 2] = torch.arange(16) // 4, torch.arange(16) % 4
    return {
        "hidden_states": noise(batch, 16, 64, seed=1),
        "controlnet_cond": noise(batch, 16, 64, seed=2),
        "controlnet_mode": None,
        "conditioning_scale": 1.0,
        "timestep": torch.full((batch,), 0.5),
        "guidance": torch.full((batch,), 3.5),
        "pooled_projections": noise(batch, 16, seed=3),
        "encoder_hidden_states": noise(batch, 5, 32, seed=4),
        "txt_ids": torch.zeros(5, 3),
        "img_ids": ids,
        "joint_attention_kwargs": {},
        "return_dict": False,
        **other,
    }


def residuals(infusenet: Any, tokens: Tensor, **given: Any) -> Tensor:
    with torch.no_grad(), infusenet.identity(tokens):
        double, single = infusenet(**inputs(**given))
    return torch.cat([*double, *single])


def test_it_is_the_control_net_with_other_arguments(infusenet: Any) -> None:
    """Identity tokens for the prompt's, ids of their number, a guidance of 1; the rest as given."""
    from diffusers import FluxControlNetModel

    tokens = noise(2, 8, TOKEN_DIM)
    expected = inputs(
        batch=2,
        encoder_hidden_states=tokens,
        txt_ids=torch.zeros(8, 3),
        guidance=torch.ones(2),
        conditioning_scale=0.7,
    )
    with torch.no_grad():
        double, single = FluxControlNetModel.forward(infusenet, **expected)
    found = residuals(infusenet, tokens, batch=2, conditioning_scale=0.7)
    assert torch.equal(found, torch.cat([*double, *single]))


def test_the_prompt_and_the_calls_guidance_are_not_looked_at(infusenet: Any) -> None:
    tokens = noise(1, 8, TOKEN_DIM)
    one = residuals(infusenet, tokens)
    assert torch.equal(one, residuals(infusenet, tokens, guidance=torch.full((1,), 50.0)))
    other_prompt = noise(1, 77, 32, seed=9)
    ids = torch.ones(77, 3)
    found = residuals(infusenet, tokens, encoder_hidden_states=other_prompt, txt_ids=ids)
    assert torch.equal(one, found)


def test_guidance_is_fixed_where_it_matters(infusenet: Any) -> None:
    """Else the test above would hold for a network that has no guidance."""
    from diffusers import FluxControlNetModel

    given = inputs(encoder_hidden_states=noise(1, 8, TOKEN_DIM), txt_ids=torch.zeros(8, 3))
    with torch.no_grad():
        (at_3_5, *_), _ = FluxControlNetModel.forward(infusenet, **given)
        given["guidance"] = torch.ones(1)
        (at_1, *_), _ = FluxControlNetModel.forward(infusenet, **given)
    assert (at_3_5 - at_1).abs().max() > 1e-3


def test_other_identities_give_other_residuals(infusenet: Any) -> None:
    anna, bert = noise(1, 8, TOKEN_DIM, seed=5), noise(1, 8, TOKEN_DIM, seed=6)
    assert (residuals(infusenet, anna) - residuals(infusenet, bert)).abs().max() > 0.05
    both = residuals(infusenet, torch.cat([anna, bert]), batch=2)
    one_for_all = residuals(infusenet, anna, batch=2)
    torch.testing.assert_close(both[::2], one_for_all[::2])
    assert not torch.allclose(both[1::2], one_for_all[1::2])


def test_a_scale_of_zero_costs_nothing(infusenet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import FluxControlNetModel

    monkeypatch.setattr(FluxControlNetModel, "forward", None)
    assert infusenet(**inputs(conditioning_scale=0.0)) == (None, None)
    assert infusenet(**inputs(conditioning_scale=0)) == (None, None)


def test_an_identity_holds_for_its_calls_only(infusenet: Any) -> None:
    with pytest.raises(ValueError, match="outside of 'with"):
        infusenet(**inputs())
    tokens = noise(1, 8, TOKEN_DIM)

    with suppress(RuntimeError), infusenet.identity(tokens):
        with pytest.raises(ValueError, match="set already"), infusenet.identity(tokens):
            pass
        raise RuntimeError("of the caller")
    with pytest.raises(ValueError, match="outside of 'with"):
        infusenet(**inputs())


@pytest.mark.parametrize("shape", [(8, TOKEN_DIM), (1, 8, 32), (1, 1, 8, TOKEN_DIM)])
def test_tokens_of_another_shape_are_refused(infusenet: Any, shape: tuple[int, ...]) -> None:
    with (
        pytest.raises(ValueError, match=rf"B × n × {TOKEN_DIM}, got"),
        infusenet.identity(torch.zeros(shape)),
    ):
        pass


def test_precision_is_that_of_the_call(folder: Path) -> None:
    from inscene.quiet import quiet_diffusion
    from inscene.synthetic.generate.infusenet import InfuseNet

    with quiet_diffusion():
        half = InfuseNet.from_pretrained(str(folder), torch_dtype=torch.bfloat16)
    given = {
        name: value.bfloat16() if isinstance(value, Tensor) else value
        for name, value in inputs().items()
    }
    with torch.no_grad(), half.identity(noise(1, 8, TOKEN_DIM)):
        (found, *_), _ = half(**given)
    assert found.dtype == torch.bfloat16


def test_the_folder_is_laid_out_as_the_published_one(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["_class_name"] == "FluxControlNetModel"  # which InfuseNet loads all the same
    index = json.loads((folder / "diffusion_pytorch_model.safetensors.index.json").read_text())
    files = {f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)}
    assert set(index["weight_map"].values()) == files
    assert INFUSENET["joint_attention_dim"] == 4096


def test_the_official_network_has_as_many_numbers_as_were_published() -> None:
    """2,952,654,336 in 314 tensors; none of them is made here."""
    from inscene.quiet import quiet_diffusion
    from inscene.synthetic.generate.infusenet import InfuseNet

    with quiet_diffusion(), torch.device("meta"):
        network = InfuseNet(
            num_layers=4,
            num_single_layers=10,
            attention_head_dim=128,
            num_attention_heads=24,
            joint_attention_dim=4096,
            pooled_projection_dim=768,
            guidance_embeds=True,
            axes_dims_rope=[16, 56, 56],
        )
    state = network.state_dict()
    assert len(state) == 314
    assert sum(tensor.numel() for tensor in state.values()) == 2_952_654_336
