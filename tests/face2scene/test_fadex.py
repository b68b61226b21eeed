"""FaDeX: its size, its maps' sizes, and files that give back the same weights."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inscene.face2scene.fadex import FaDeX

TINY = (16, 16, 32, 32, 32, 32)
SMALL = (32, 32, 64, 64, 128, 128)


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def tiny(embedding_dim: int = 32) -> FaDeX:
    torch.manual_seed(0)
    return FaDeX(TINY, embedding_dim=embedding_dim).eval()


def faces(batch: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, batch, 3, height, width, generator=generator) * 2 - 1
    return images[0], images[1]


def test_parameters_are_the_specifications() -> None:
    with torch.device("meta"):
        full = FaDeX()
        assert parameters(full.encoder) == 1_148_928
        assert parameters(full.head) == 131_584
        assert parameters(FaDeX(SMALL).encoder) == 288_768
        assert parameters(FaDeX(TINY).encoder) == 35_904


@settings(deadline=None, derandomize=True, max_examples=15)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_any_rectangle_gives_a_map_of_a_quarter_rounded_up(height: int, width: int) -> None:
    features, embedding = tiny()(*faces(2, height, width))
    assert features.shape == (2, 32, math.ceil(height / 4), math.ceil(width / 4))
    assert embedding.shape == (2, 32)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))


def test_the_embedding_is_the_heads_output_on_the_pooled_map() -> None:
    fadex = tiny()
    code = fadex(*faces(3, 32, 40))
    pooled = fadex.pooled(code.features)
    torch.testing.assert_close(pooled, F.adaptive_avg_pool2d(code.features, 1).flatten(1))
    first, _, second = fadex.head
    head = second(F.leaky_relu(first(pooled), 0.1))
    torch.testing.assert_close(code.embedding, head / head.norm(dim=1, keepdim=True))


def test_hq_comes_before_lq() -> None:
    fadex = tiny()
    hq, lq = faces(1, 32, 32)
    torch.testing.assert_close(fadex(hq, lq).features, fadex.encoder(torch.cat([hq, lq], 1)))
    assert not torch.equal(fadex(hq, lq).embedding, fadex(lq, hq).embedding)


def test_bfloat16_is_near_float32() -> None:
    hq, lq = faces(2, 48, 48)
    exact = tiny()(hq, lq).embedding
    code = tiny().to(torch.bfloat16)(hq.bfloat16(), lq.bfloat16())
    assert code.features.dtype == code.embedding.dtype == torch.bfloat16
    cosine = F.cosine_similarity(exact, code.embedding.float())
    assert cosine.min() > 0.999


def test_both_images_and_all_weights_get_gradients() -> None:
    fadex = tiny().train()
    hq, lq = (image.requires_grad_() for image in faces(4, 32, 32))
    fadex(hq, lq).embedding[:, 0].sum().backward()
    assert hq.grad is not None
    assert hq.grad.abs().sum() > 0
    assert lq.grad is not None
    assert lq.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in fadex.parameters())


def test_files_give_back_the_same_model(tmp_path: Path) -> None:
    fadex = FaDeX(TINY, embedding_dim=16, negative_slope=0.2)
    fadex.train()(*faces(4, 32, 32))  # running statistics are not those of a new one
    fadex.eval().save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    assert json.loads((tmp_path / "config.json").read_text())["negative_slope"] == 0.2
    loaded = FaDeX.from_pretrained(tmp_path)
    assert not loaded.training
    for name, value in fadex.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=0, atol=0)
    pair = faces(1, 33, 47)
    torch.testing.assert_close(loaded(*pair), fadex(*pair))


def test_compiles_as_one_graph() -> None:
    fadex = tiny()
    pair = faces(1, 32, 32)
    compiled = torch.compile(fadex, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*pair), fadex(*pair))


def test_refuses_what_cannot_work() -> None:
    hq, lq = faces(1, 32, 32)
    with pytest.raises(ValueError, match="of one size"):
        tiny()(hq, lq[..., :31])
    with pytest.raises(ValueError, match="of one size"):
        tiny()(hq[0], lq[0])
    with pytest.raises(ValueError, match="6 numbers are needed, got 5"):
        FaDeX((16, 16, 32, 32, 32))
    with pytest.raises(ValueError, match="got 7"):
        FaDeX(TINY, in_channels=7)
