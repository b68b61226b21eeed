"""The VAE in tiles gives what it gives in one piece."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from peft import LoraConfig
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from inscene.face2scene import vae_tiles
from inscene.face2scene.families import FAMILIES
from inscene.face2scene.lora import VAE_TARGETS

# Squares of an odd number of tiles, portrait, panorama, one strip, and sides that tiles of
# 72 px do not divide, so that edges between them fall on odd lines of every level.
SIZES = [(216, 216), (304, 120), (88, 408), (64, 520), (232, 296)]
TILE_PX = 72


def vae(**changes: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    made = AutoencoderKL(**{**FAMILIES["tiny"].vae, **changes}).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "norm" in name:  # they begin as 1 and 0, which would hide a mistake
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return made


@pytest.fixture(scope="module")
def tiny() -> AutoencoderKL:
    return vae()


def scene(height: int, width: int, batch: int = 1) -> Tensor:
    """Noise over a ramp from dark to light: tiles differ in their means and in their deviations,
    which statistics that are merged badly do not survive."""
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(-0.9, 0.9, width)
    noise = torch.rand(batch, 3, height, width, generator=generator) * 2 - 1
    return (ramp + 0.3 * noise * ramp.abs()).clamp(-1, 1)


@torch.no_grad()
def plain_encode(model: AutoencoderKL, images: Tensor) -> Tensor:
    latents: Tensor = model.encode(images).latent_dist.mode()
    return latents


@torch.no_grad()
def plain_decode(model: AutoencoderKL, latents: Tensor) -> Tensor:
    images: Tensor = model.decode(latents).sample
    return images


@pytest.mark.parametrize("size", SIZES)
def test_tiles_equal_the_whole(tiny: AutoencoderKL, size: tuple[int, int]) -> None:
    images = scene(*size)
    untouched = images.clone()
    latents = vae_tiles.encode(tiny, images, TILE_PX)
    torch.testing.assert_close(latents, plain_encode(tiny, images), atol=1e-5, rtol=0)
    assert torch.equal(images, untouched)

    untouched = latents.clone()
    decoded = vae_tiles.decode(tiny, latents, TILE_PX // 8)
    torch.testing.assert_close(decoded, plain_decode(tiny, latents), atol=1e-4, rtol=0)
    assert torch.equal(latents, untouched)


def test_only_rounding_differs() -> None:
    """In float64 nothing is left of the difference."""
    model = vae(layers_per_block=2).double()
    images = scene(136, 200, batch=2).double()
    latents = plain_encode(model, images)
    torch.testing.assert_close(vae_tiles.encode(model, images, 64), latents, atol=1e-11, rtol=0)
    decoded = vae_tiles.decode(model, latents, 8)
    torch.testing.assert_close(decoded, plain_decode(model, latents), atol=1e-11, rtol=0)


@pytest.mark.parametrize("absent", ["use_quant_conv", "mid_block_add_attention"])
def test_parts_that_a_vae_may_lack(absent: str) -> None:
    changes = {absent: False}
    if absent == "use_quant_conv":
        changes["use_post_quant_conv"] = False
    model = vae(**changes)
    images = scene(96, 136)
    latents = plain_encode(model, images)
    torch.testing.assert_close(vae_tiles.encode(model, images, 64), latents, atol=1e-5, rtol=0)
    decoded = vae_tiles.decode(model, latents, 8)
    torch.testing.assert_close(decoded, plain_decode(model, latents), atol=1e-4, rtol=0)


def test_constant_latents_have_no_seams(tiny: AutoencoderKL) -> None:
    latents = torch.tensor([0.5, -1.0, 0.2, 2.0]).view(1, 4, 1, 1).expand(1, 4, 27, 43)
    decoded = vae_tiles.decode(tiny, latents, 9)
    torch.testing.assert_close(decoded, plain_decode(tiny, latents), atol=1e-4, rtol=0)


def test_adapters_are_part_of_it() -> None:
    """peft puts modules of its own in the place of convolutions."""
    bare = vae()
    model = copy.deepcopy(bare)
    model.add_adapter(LoraConfig(r=2, lora_alpha=8, target_modules=VAE_TARGETS))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    images = scene(120, 152)
    latents = vae_tiles.encode(model, images, 64)
    torch.testing.assert_close(latents, plain_encode(model, images), atol=1e-5, rtol=0)
    assert (latents - vae_tiles.encode(bare, images, 64)).abs().max() > 0.1


def test_bfloat16_is_as_near_as_the_plain_vae(tiny: AutoencoderKL) -> None:
    model = copy.deepcopy(tiny).bfloat16()
    latents = plain_encode(tiny, scene(200, 136))
    exact = plain_decode(tiny, latents)
    decoded = vae_tiles.decode(model, latents.bfloat16(), 9)
    assert decoded.dtype == torch.bfloat16
    plain_error = (plain_decode(model, latents.bfloat16()) - exact).abs().mean()
    assert (decoded - exact).abs().mean() < 1.2 * plain_error


def test_area_and_padding_decide_about_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    model = vae()
    calls = []
    for name in ("encode", "decode"):
        method = getattr(model, name)

        def counted(*args: Any, method: Any = method, **kwargs: Any) -> Any:
            calls.append(method.__name__)
            return method(*args, **kwargs)

        monkeypatch.setattr(model, name, counted)
    images = scene(64, 256)  # 128²
    latents = vae_tiles.encode(model, images, 128)
    vae_tiles.decode(model, latents, 16)
    assert calls == ["encode", "decode"]
    vae_tiles.encode(model, images, 96, 16)  # 96 + 2 · 16 = 128
    vae_tiles.decode(model, latents, 12, 2)
    assert calls == ["encode", "decode"] * 2
    vae_tiles.encode(model, images, 96, 15)
    vae_tiles.decode(model, latents, 12, 1)
    assert calls == ["encode", "decode"] * 2
    assert torch.equal(latents, plain_encode(model, images))


class LargestResult(TorchDispatchMode):
    """Elements of the largest tensor that is calculated. Views take no memory; the maps that tiles
    are put into are made by ``empty``, and their channels counted by their sides."""

    def __init__(self) -> None:
        super().__init__()
        self.calculated = 0
        self.kept: Counter[tuple[int, ...]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not func.is_view:
            if func is torch.ops.aten.empty.memory_format and result.ndim == 4:
                self.kept[tuple(result.shape[2:])] += result.shape[1]
            else:
                self.calculated = max(self.calculated, result.numel())
        return result


def test_no_calculation_is_larger_than_a_tile(tiny: AutoencoderKL) -> None:
    latents, tile = torch.randn(1, 4, 40, 40), 10
    channels = tiny.config.block_out_channels
    with LargestResult() as tiled:
        vae_tiles.decode(tiny, latents, tile)
    # A convolution's lines around the tile: one on each side, rounded up where lines are doubled.
    assert tiled.calculated <= channels[1] * (8 * tile + 4) ** 2
    # The doubled map, one inside each of the two resnets, whose results are written over their
    # inputs, and the image.
    assert tiled.kept[320, 320] == channels[1] + 2 * channels[0] + 3
    with LargestResult() as plain:
        plain_decode(tiny, latents)
    assert plain.calculated > 10 * tiled.calculated

    images = scene(320, 320)
    with LargestResult() as tiled:
        vae_tiles.encode(tiny, images, 8 * tile)
    # Downsampling is the last to see the first level's channels; the next level has a quarter.
    assert tiled.calculated <= channels[0] * (8 * tile + 4) ** 2


def test_no_gradients_pass(tiny: AutoencoderKL) -> None:
    images = scene(64, 136).requires_grad_()
    assert not vae_tiles.encode(tiny, images, 64).requires_grad
    assert not vae_tiles.encode(tiny, images, 136).requires_grad


def test_attention_elsewhere_is_refused() -> None:
    model = vae(down_block_types=("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",))
    with pytest.raises(ValueError, match="AttnDownEncoderBlock2D has attention"):
        vae_tiles.encode(model, scene(64, 136), 64)


def test_free_memory_decides_about_tiling(
    tiny: AutoencoderKL, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    needed = vae_tiles.plain_bytes(tiny, (2, 3, 512, 256))
    assert needed == 4 * 2 * 512 * 256 * 32 * 4
    assert vae_tiles.plain_bytes(copy.deepcopy(tiny).bfloat16(), (2, 3, 512, 256)) * 2 == needed
    for free, expected in ((needed, True), (2 * needed, False)):
        monkeypatch.setattr(vae_tiles, "free_bytes", lambda device, free=free: free)
        assert vae_tiles.needs_tiling(tiny, (2, 3, 512, 256), cpu) is expected


def test_free_memory_of_this_machine() -> None:
    import psutil

    assert 0 < vae_tiles.free_bytes(torch.device("cpu")) <= psutil.virtual_memory().total
