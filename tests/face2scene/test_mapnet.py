"""MapNet: against a plain writing of its formula, its sizes and its options."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from inscene.face2scene.mapnet import DegradationAttention, MapNet

TINY = {"in_channels": 32, "channels": 64, "token_dim": 32}
SMALL = {"in_channels": 128, "channels": 128, "token_dim": 256}


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def tiny(**options: Any) -> MapNet:
    torch.manual_seed(0)
    return MapNet(**TINY, **options).eval()


def features(height: int, width: int, batch: int = 1, channels: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.randn(batch, channels, height, width, generator=generator)


def test_parameters_are_the_specifications() -> None:
    with torch.device("meta"):
        assert parameters(MapNet()) == 6_699_137
        assert parameters(MapNet(**SMALL)) == 495_137
        assert parameters(MapNet(**TINY)) == 40_593


def test_attention_is_the_difference_of_two_softmax_maps() -> None:
    torch.manual_seed(1)
    attention = DegradationAttention(channels=24, heads=4, lambda_init=0.2).double()
    with torch.no_grad():
        attention.weight.fill_(0.7)
        attention.norm.weight.uniform_(0.5, 2)
    x = torch.randn(2, 9, 24, dtype=torch.float64)
    halves = x[..., :12], x[..., 12:]
    value = x @ attention.value.weight.T
    outputs = []
    for head in range(2):
        narrow, wide = slice(6 * head, 6 * head + 6), slice(12 * head, 12 * head + 12)
        maps = []
        for half, query, key in zip(halves, attention.queries, attention.keys, strict=True):
            q, k = half @ query.weight.T, half @ key.weight.T
            maps.append(torch.softmax(q[..., narrow] @ k[..., narrow].mT / 6**0.5, dim=-1))
        out = (maps[0] - 0.7 * maps[1]) @ value[..., wide]
        out = out / (out.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        outputs.append(out * attention.norm.weight * (1 - 0.2))
    expected = attention.out(torch.cat(outputs, dim=-1))
    torch.testing.assert_close(attention(x), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_map_of_all_pairs_is_stored(dtype: torch.dtype) -> None:
    mapnet = tiny().to(dtype).train()
    # Only the kernel that works in blocks; it says so if it cannot.
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        mapnet(features(16, 16).to(dtype)).sum().backward()


@settings(deadline=None, derandomize=True, max_examples=15)
@given(height=st.integers(7, 33), width=st.integers(7, 33), batch=st.integers(1, 2))
def test_any_grid_gives_21_tokens(height: int, width: int, batch: int) -> None:
    tokens = tiny()(features(height, width, batch))
    assert tokens.shape == (batch, 21, 32)
    assert tokens.isfinite().all()


def test_tokens_are_cells_row_by_row_the_coarsest_grid_first() -> None:
    mapnet = tiny()
    seen = {}
    mapnet.attention.register_forward_hook(lambda *call: seen.update(attended=call[2]))
    tokens = mapnet(features(16, 32))
    cells = seen["attended"][0].reshape(8, 16, 64)  # rows, columns, channels
    expected = [mapnet.projectors[0](cells.mean(dim=(0, 1)))]
    for scale, projector in zip((2, 4), mapnet.projectors[1:], strict=True):
        high, wide = 8 // scale, 16 // scale
        for row in range(scale):
            for column in range(scale):
                cell = cells[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
                expected.append(projector(cell.mean(dim=(0, 1))))
    torch.testing.assert_close(tokens[0], torch.stack(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("scales", "count"), [((1,), 1), ((1, 2), 5), ((1, 2, 4), 21)])
def test_the_ablations_token_counts(scales: tuple[int, ...], count: int) -> None:
    mapnet = tiny(scales=scales)
    assert mapnet.tokens == count
    assert mapnet(features(8, 8)).shape == (1, count, 32)


def test_25_px_are_the_least() -> None:
    assert tiny()(features(7, 7)).shape == (1, 21, 32)
    with pytest.raises(ValueError, match=r"grid of 3×8 patches .* 4×4; .* at least 25 px"):
        tiny()(features(6, 16))
    assert tiny(scales=(1, 2))(features(3, 3)).shape == (1, 5, 32)
    with pytest.raises(ValueError, match="at least 9 px"):
        tiny(scales=(1, 2))(features(2, 3))


def test_the_skip_adds_what_the_attention_read() -> None:
    plain, skipping = tiny(), tiny(attn_skip=True)
    for model in (plain, skipping):
        torch.nn.init.zeros_(model.attention.out.weight)
        torch.nn.init.zeros_(model.attention.out.bias)
    one, other = plain(features(8, 8)), plain(features(8, 9))
    torch.testing.assert_close(one, other)  # nothing but the attention is read
    assert not torch.allclose(skipping(features(8, 8)), skipping(features(8, 9)), atol=1e-3)


def test_projectors_are_shared_on_demand() -> None:
    shared = tiny(shared_projector=True, scales=(1, 1))
    assert len(shared.projectors) == 1
    first, second = shared(features(8, 8))[0]
    torch.testing.assert_close(first, second)
    first, second = tiny(scales=(1, 1))(features(8, 8))[0]
    assert not torch.allclose(first, second, atol=1e-3)


def test_slots_begin_as_nothing_and_can_be_learnt() -> None:
    mapnet = tiny(slot_embedding=True)
    torch.testing.assert_close(mapnet(features(8, 8)), tiny()(features(8, 8)))
    mapnet(features(8, 8)).sum().backward()
    assert mapnet.slots is not None
    assert torch.equal(mapnet.slots.grad, torch.ones(21, 32))


def test_other_widths_take_effect() -> None:
    mapnet = tiny(patch_kernel=5, projector_width=48, activation="silu")
    assert mapnet.patches.weight.shape[-2:] == (5, 5)
    assert mapnet.patches(features(9, 8)).shape[-2:] == (5, 4)
    assert mapnet.projectors[0][0].out_features == 48
    assert isinstance(mapnet.projectors[0][1], torch.nn.SiLU)


def test_all_weights_get_gradients() -> None:
    mapnet = tiny(slot_embedding=True).train()
    F.mse_loss(mapnet(features(16, 16)), torch.zeros(1, 21, 32).uniform_()).backward()
    for name, parameter in mapnet.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_few_steps_lower_a_loss() -> None:
    mapnet = tiny().train()
    generator = torch.Generator().manual_seed(3)
    target = torch.randn(1, 21, 32, generator=generator)
    optimiser = torch.optim.Adam(mapnet.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = F.mse_loss(mapnet(features(16, 16)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert sum(after < before for before, after in pairwise(losses)) > 20


def test_bfloat16_is_near_float32() -> None:
    exact = tiny()(features(16, 12))
    rough = tiny().to(torch.bfloat16)(features(16, 12).bfloat16())
    assert rough.dtype == torch.bfloat16
    assert F.cosine_similarity(exact, rough.float(), dim=-1).min() > 0.99


def test_files_give_back_the_same_model(tmp_path: Path) -> None:
    mapnet = tiny(scales=(1, 3), slot_embedding=True, lambda_init=0.3)
    torch.nn.init.normal_(mapnet.slots)
    mapnet.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    loaded = MapNet.from_pretrained(tmp_path)
    assert loaded.tokens == 10
    for name, value in mapnet.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=0, atol=0)
    # Where in memory weights begin may change a sum's last bit.
    torch.testing.assert_close(loaded(features(8, 8)), mapnet(features(8, 8)))


def test_compiles_as_one_graph() -> None:
    mapnet = tiny()
    compiled = torch.compile(mapnet, backend="eager", fullgraph=True)
    for side in (8, 12):
        torch.testing.assert_close(compiled(features(side, 8)), mapnet(features(side, 8)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 7}, "heads: .* got 7"),
        ({"heads": 6}, "64 do not divide into 6 heads"),
        ({"scales": ()}, "scales"),
        ({"scales": (0, 2)}, "scales"),
        ({"patch_kernel": 4}, "odd"),
    ],
)
def test_refuses_what_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**options)
