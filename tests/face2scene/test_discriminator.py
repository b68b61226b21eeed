"""The discriminator of Stage II: its parts against what they stand for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_weights.dino import FILE, write_dino
from tiny_weights.lpips_vgg import write_lpips_vgg
from torch.nn import functional

from inscene.errors import MachineError
from inscene.face2scene.discriminator import (
    Augment,
    Dino,
    Discriminator,
    RandomBackbone,
    Targets,
    towards,
)
from inscene.face2scene.discriminator.backbone import MEAN, STD
from inscene.face2scene.discriminator.blur import Blur
from inscene.face2scene.discriminator.heads import GridHead, VectorHead
from inscene.weights import MissingWeightError

NO_COLOUR = {"brightness": 0.0, "saturation": 0.0, "contrast": 0.0}
NOTHING = Augment(**NO_COLOUR, translation=0, cutout=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(seed: int, count: int = 2, height: int = 48, width: int = 48) -> torch.Tensor:
    return 2 * torch.rand((count, 3, height, width), generator=seeded(seed)) - 1


@pytest.fixture
def small() -> Discriminator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Discriminator(RandomBackbone(), hidden=8)


# -- Augmentation -------------------------------------------------------------------------------


def test_augmentation_of_nothing_changes_nothing() -> None:
    assert torch.allclose(NOTHING(images(1), seeded()), images(1), atol=1e-6)


def test_same_draws_same_images_and_each_image_its_own() -> None:
    alike = images(1, 1).expand(4, -1, -1, -1)
    one, again = Augment()(alike, seeded(3)), Augment()(alike, seeded(3))
    assert torch.equal(one, again)
    assert not torch.equal(one, Augment()(alike, seeded(4)))
    assert len({float(image.sum()) for image in one}) == 4


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 2**32))
def test_translation_moves_without_resampling(height: int, width: int, seed: int) -> None:
    image = images(seed, 1, height, width)
    moved = Augment(**NO_COLOUR, cutout=0)(image, seeded(seed))
    down, right = round_half_up(height / 8), round_half_up(width / 8)
    fits = [
        torch.allclose(moved, functional.pad(image, (x, -x, y, -y)), atol=1e-6)
        for y in range(-down, down + 1)
        for x in range(-right, right + 1)
    ]
    assert fits.count(True) == 1


def test_translation_reaches_an_eighth_each_way() -> None:
    marked = torch.zeros(400, 1, 32, 32)
    marked[:, 0, 16, 16] = 1
    places = Augment(**NO_COLOUR, cutout=0)(marked, seeded(5)).flatten(1).argmax(1)
    assert (set((places // 32).tolist()), set((places % 32).tolist())) == ({*range(12, 21)},) * 2


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 2**32))
def test_cutout_is_a_rectangle_of_half_the_sides_that_may_hang_over(
    height: int, width: int, seed: int
) -> None:
    cut = Augment(**NO_COLOUR, translation=0)(torch.ones(3, 3, height, width), seeded(seed))
    hole = cut == 0
    assert torch.equal(hole[:, :1].expand_as(hole), hole)
    for one in hole[:, 0]:
        rows, columns = one.any(1), one.any(0)
        assert torch.equal(one, rows[:, None] & columns[None, :])
        for covered, size in ((rows, height), (columns, width)):
            side, count = round_half_up(size / 2), int(covered.sum())
            assert side // 2 <= count <= side
            if not (covered[0] or covered[-1]):
                assert count == side


def test_colours_change_within_their_ranges() -> None:
    """Grey images keep their grey but for brightness, which is within a half."""
    grey = torch.zeros(300, 3, 2, 2)
    changed = Augment(translation=0, cutout=0)(grey, seeded(6))
    assert torch.equal(changed, changed[:, :1, :1, :1].expand_as(changed))
    assert -0.5 <= changed.min() < -0.45
    assert 0.45 < changed.max() <= 0.5

    colourful = torch.tensor([0.6, -0.6, 0.0]).view(1, 3, 1, 1).expand(300, 3, 2, 2)
    only = {"brightness": 0.0, "contrast": 0.0, "translation": 0.0, "cutout": 0.0}
    factors = Augment(**only)(colourful, seeded(7))[:, 0, 0, 0] / 0.6
    assert -1e-6 <= factors.min() < 0.05
    assert 1.95 < factors.max() <= 2 + 1e-6

    halves = torch.tensor([0.5, -0.5]).view(1, 1, 2, 1).expand(300, 3, 2, 2)
    only = {"brightness": 0.0, "saturation": 0.0, "translation": 0.0, "cutout": 0.0}
    factors = Augment(**only)(halves, seeded(8))[:, 0, 0, 0] / 0.5
    assert 0.5 <= factors.min() < 0.55
    assert 1.45 < factors.max() <= 1.5


def test_gradients_pass_through_augmentation() -> None:
    image = images(9).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda one: Augment()(one, seeded(9)), (image[:, :, :6, :6].detach().requires_grad_(),)
    )


def round_half_up(number: float) -> int:
    return math.floor(number + 0.5)


# -- Heads --------------------------------------------------------------------------------------


def test_blur_is_the_binomial_filter() -> None:
    point = torch.zeros(1, 2, 7, 7)
    point[0, 0, 3, 3] = 1
    found = Blur(pad=2)(point)
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    assert found.shape == (1, 2, 8, 8)
    assert torch.allclose(found[0, 0, 2:6, 2:6], torch.outer(row, row))
    assert found[0, 0].sum() == pytest.approx(1)
    assert found[0, 1].abs().max() == 0
    assert Blur(pad=1)(point).shape == (1, 2, 6, 6)


def test_heads_of_dino_have_187_million_parameters() -> None:
    with torch.device("meta"):
        heads = [GridHead(768), GridHead(768), VectorHead(768)]
        logits = [head(torch.empty(2, 768, 14, 14)) for head in heads[:2]]
        logits.append(heads[2](torch.empty(2, 768)))
    counts = [sum(one.numel() for one in head.parameters()) for head in heads]
    convolution = 768 * 128 * 9 + 128 + 128 + 1
    assert counts == [convolution, convolution, 768 * 128 + 128 + 128 + 1]
    assert sum(counts) == 1_868_547
    assert [tuple(one.shape) for one in logits] == [(2, 3, 3), (2, 3, 3), (2, 1)]


def test_spectral_norms_hold_after_training_passes(small: Discriminator) -> None:
    """Every layer that is trained multiplies lengths by 1 at most."""
    with torch.no_grad():
        for parameter in small.heads.parameters():
            parameter.mul_(7)
        for _ in range(60):
            small(images(1), seeded())
    layers = [
        layer
        for layer in small.heads.modules()
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)
    ]
    assert len(layers) == 6
    for layer in layers:
        norm = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert norm == pytest.approx(1, abs=1e-3)


# -- Losses -------------------------------------------------------------------------------------


def test_targets_are_soft_and_the_generators_is_that_of_real_images() -> None:
    assert Targets().model_dump() == {"real": 0.8, "fake": 0.0, "generator": 0.8}


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.integers(0, 2**32))
def test_loss_is_the_cross_entropy_mean_over_places_summed_over_levels(
    target: float, seed: int
) -> None:
    rng = seeded(seed)
    logits = [torch.randn(size, generator=rng) for size in ((2, 3, 3), (2, 2, 4), (2, 1))]
    wanted = [0.0, 0.0]
    for level in logits:
        for sample in range(2):
            places = level[sample].flatten().tolist()
            chances = [1 / (1 + math.exp(-one)) for one in places]
            terms = [-target * math.log(p) - (1 - target) * math.log(1 - p) for p in chances]
            wanted[sample] += sum(terms) / len(terms)
    assert towards(logits, target).tolist() == pytest.approx(wanted, rel=1e-4)


def test_loss_is_least_where_the_chance_is_the_target() -> None:
    logit = torch.tensor([[math.log(0.8 / 0.2)]], requires_grad=True)
    towards([logit], 0.8).sum().backward()
    assert logit.grad.abs().max() < 1e-6


# -- Backbones ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dino_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dino") / FILE
    write_dino(path)
    return path


@pytest.fixture(scope="module")
def dino(dino_file: Path) -> Dino:
    pytest.importorskip("timm")
    return Dino.load(dino_file)


def test_dino_sees_what_its_blocks_say(dino: Dino) -> None:
    """Against the blocks called one by one, with the last normalisation."""
    image = images(1, 1, 224, 224)
    network = dino.network
    with torch.no_grad():
        early, late, whole = dino(image)
        pixels = image * 0.5 + 0.5
        mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
        patches = functional.conv2d(
            (pixels - mean) / std,
            network.patch_embed.proj.weight,
            network.patch_embed.proj.bias,
            16,
        )
        tokens = torch.cat([network.cls_token, patches.flatten(2).mT], 1) + network.pos_embed
        after = {}
        for number, block in enumerate(network.blocks, start=1):
            tokens = block(tokens)
            after[number] = network.norm(tokens)
    assert early.shape == late.shape == (1, 768, 14, 14)
    assert torch.allclose(early.flatten(2).mT, after[5][:, 1:], atol=1e-4)
    assert torch.allclose(late.flatten(2).mT, after[9][:, 1:], atol=1e-4)
    assert torch.allclose(whole, after[12][:, 0], atol=1e-4)
    assert not torch.allclose(early, late, atol=1e-2)


def test_dino_is_frozen_and_its_heads_are_not(dino: Dino) -> None:
    discriminator = Discriminator(dino).train()
    trained = sum(one.numel() for one in discriminator.parameters() if one.requires_grad)
    assert trained == 1_868_547
    assert sum(one.numel() for one in dino.parameters()) == 85_798_656
    assert not dino.network.training
    image = images(2, 1, 64, 64).requires_grad_()
    loss = towards(discriminator(image, seeded()), 0.8).sum()
    loss.backward()
    assert image.grad.abs().max() > 0
    assert torch.isfinite(image.grad).all()
    assert all(one.grad is None for one in dino.parameters())


def test_another_file_is_refused(dino_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    state = torch.load(dino_file, weights_only=True)
    del state["norm.bias"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(MachineError, match="not the image encoder DINO"):
        Dino.load(tmp_path / "less.pth")
    weights, _ = write_lpips_vgg(tmp_path)
    with pytest.raises(MachineError, match="not the image encoder DINO"):
        Dino.load(weights)


def test_weights_that_are_not_here_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm")
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeightError, match="inscene weights pull dino-vitb16"):
        Dino.load()


@pytest.mark.parametrize("size", [(40, 40), (64, 64), (100, 70)])
def test_images_are_brought_to_size_by_averaging_areas(size: tuple[int, int]) -> None:
    backbone = RandomBackbone(side_px=32)
    seen = []
    backbone.look = lambda image: seen.append(image)  # type: ignore[method-assign]
    image = images(3, 2, *size)
    backbone(image)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    pixels = seen[0] * std + mean
    assert pixels.shape == (2, 3, 32, 32)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    if size == (64, 64):
        expected = (image * 0.5 + 0.5).unflatten(3, (32, 2)).unflatten(2, (32, 2)).mean((3, 5))
        assert torch.allclose(pixels, expected, atol=1e-6)


def test_random_backbone_is_decided_by_its_seed() -> None:
    before = torch.random.get_rng_state()
    one, again, other = (RandomBackbone(seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    levels = [backbone(images(4)) for backbone in (one, again, other)]
    assert all(torch.equal(*pair) for pair in zip(levels[0], levels[1], strict=True))
    assert not torch.equal(levels[0].early, levels[2].early)
    assert [tuple(level.shape) for level in levels[0]] == [
        (2, 16, 32, 32),
        (2, 32, 16, 16),
        (2, 64),
    ]


# -- The whole ----------------------------------------------------------------------------------


def test_learns_to_tell_noise_from_smooth_images(small: Discriminator) -> None:
    def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        return functional.interpolate(images(seed, 4, 4, 4), size=32), images(seed + 1, 4, 32, 32)

    optimiser = torch.optim.Adam(small.heads.parameters(), lr=1e-2)
    rng = seeded(11)
    for step in range(60):
        real, fake = (small(batch, rng) for batch in drawn(2 * step))
        optimiser.zero_grad()
        (towards(real, 0.8).mean() + towards(fake, 0).mean()).backward()
        optimiser.step()
    with torch.no_grad():
        real, fake = (small(batch, rng) for batch in drawn(1000))
    for level, (one, other) in enumerate(zip(real, fake, strict=True)):
        assert one.flatten(1).mean(1).min() > other.flatten(1).mean(1).max(), level


def test_saved_heads_continue_bit_for_bit(small: Discriminator) -> None:
    for _ in range(3):
        small(images(1), seeded())  # spectral norms have buffers
    other = Discriminator(RandomBackbone(), hidden=8)
    other.heads.load_state_dict(small.heads.state_dict())
    for one, again in zip(small(images(2), seeded()), other(images(2), seeded()), strict=True):
        assert torch.equal(one, again)


def test_half_precision_images(small: Discriminator) -> None:
    logits = small(images(5).bfloat16(), seeded())
    assert [level.dtype for level in logits] == [torch.float32] * 3
    assert all(torch.isfinite(level).all() for level in small.bfloat16()(images(5), seeded()))
