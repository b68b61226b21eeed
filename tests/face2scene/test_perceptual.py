"""LPIPS on VGG-16 gives pyiqa's numbers, and a loss that can be trained with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_weights.lpips_vgg import write_lpips_vgg

from inscene.errors import MachineError
from inscene.face2scene.perceptual import LpipsVgg, RandomPerceptual
from inscene.quality.networks import replaced
from inscene.weights import MissingWeightError


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_lpips_vgg(tmp_path_factory.mktemp("lpips-vgg"))


@pytest.fixture(scope="module")
def lpips(files: tuple[Path, Path]) -> LpipsVgg:
    return LpipsVgg.load(*files)


@pytest.fixture(scope="module")
def pyiqa_lpips(files: tuple[Path, Path]):
    pytest.importorskip("pyiqa", reason="pyiqa is the reference here (extra: bench)")
    import types

    import torchvision
    from pyiqa.archs import lpips_arch

    weights, trunk = files

    def vgg16(weights: str):
        network = torchvision.models.vgg16(weights=None)
        network.load_state_dict(torch.load(trunk, weights_only=True))
        return network

    def load_into(network, address: str, strict: bool = True, weight_keys: None = None) -> None:
        assert "vgg" in address
        network.load_state_dict(torch.load(weights, weights_only=True), strict=False)

    models = types.SimpleNamespace(vgg16=vgg16)
    with replaced(lpips_arch, load_pretrained_network=load_into, models=models):
        return lpips_arch.LPIPS(net="vgg")


def images(seed: int, count: int = 2, height: int = 32, width: int = 32) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return 2 * torch.rand((count, 3, height, width), generator=rng) - 1


@settings(max_examples=5, deadline=None)
@given(st.integers(16, 48), st.integers(16, 48), st.integers(0, 2**32))
def test_is_pyiqas(lpips, pyiqa_lpips, height: int, width: int, seed: int) -> None:
    one, other = images(seed, 2, height, width), images(seed + 1, 2, height, width)
    with torch.no_grad():
        ours = lpips(one, other)
        theirs = pyiqa_lpips(one, other, normalize=False).flatten()
    assert ours.min() > 1e-3  # else nothing is compared
    assert torch.allclose(ours, theirs, atol=1e-5, rtol=1e-5)


def test_gradients_are_pyiqas(lpips, pyiqa_lpips) -> None:
    found = []
    for network in (lpips, lambda one, other: pyiqa_lpips(one, other, normalize=False)):
        image = images(3).requires_grad_()
        network(image, images(4)).sum().backward()
        found.append(image.grad)
    assert torch.allclose(*found, atol=1e-7, rtol=1e-3)
    assert found[0].abs().max() > 1e-5


def test_equal_images_are_no_distance_apart_and_have_finite_gradients(lpips) -> None:
    """The root of a sum of squares has none at 0: original LPIPS gives NaN for features that are
    all zero, as they may be after a ReLU."""
    image = images(5).requires_grad_()
    distance = lpips(image, images(5))
    distance.sum().backward()
    assert torch.equal(distance, torch.zeros(2))
    assert torch.isfinite(image.grad).all()


def test_places_without_any_feature_have_finite_gradients(files: tuple[Path, Path]) -> None:
    lpips = LpipsVgg.load(*files)
    with torch.no_grad():
        lpips.features[0].bias = torch.nn.Parameter(torch.full((64,), -100.0))  # all ReLUs shut
    image = images(6).requires_grad_()
    lpips(image, images(7)).sum().backward()
    assert torch.isfinite(image.grad).all()


@pytest.mark.parametrize("kind", ["lpips", "random"])
def test_each_sample_has_its_own_distance(lpips, kind: str) -> None:
    loss = lpips if kind == "lpips" else RandomPerceptual()
    one, other = images(8, 3), images(9, 3)
    together = loss(one, other)
    apart = torch.cat([loss(one[i : i + 1], other[i : i + 1]) for i in range(3)])
    assert together.shape == (3,)
    assert torch.allclose(together, apart, atol=1e-6)
    assert len(set(together.tolist())) == 3


@pytest.mark.parametrize("kind", ["lpips", "random"])
def test_is_frozen_whatever_its_owner_does(lpips, kind: str) -> None:
    loss = lpips if kind == "lpips" else RandomPerceptual()
    owner = torch.nn.ModuleList([loss]).train()
    assert not any(module.training for module in owner[0].modules())
    assert not any(one.requires_grad for one in owner.parameters())


def test_random_features_are_decided_by_the_seed() -> None:
    one, other = images(10), images(11)
    assert torch.equal(RandomPerceptual(5)(one, other), RandomPerceptual(5)(one, other))
    assert not torch.equal(RandomPerceptual(5)(one, other), RandomPerceptual(6)(one, other))
    before = torch.random.get_rng_state()
    RandomPerceptual(5)
    after = torch.random.get_rng_state()
    assert torch.equal(before, after), "the caller's random numbers have moved"


def test_random_distance_grows_with_the_difference() -> None:
    loss, clean = RandomPerceptual(), images(12, 4)
    noise = images(13, 4)
    means = [loss(clean + part * noise, clean).mean() for part in (0.0, 0.1, 0.3, 1.0)]
    assert means == sorted(means)
    assert means[0] == 0
    assert means[1] > 0


@pytest.mark.parametrize("kind", ["lpips", "random"])
def test_half_precision(lpips, files, kind: str) -> None:
    loss = LpipsVgg.load(*files) if kind == "lpips" else RandomPerceptual()
    full = loss(images(14), images(15))
    half = loss.bfloat16()(images(14).bfloat16(), images(15).bfloat16())
    assert half.dtype == torch.float32
    assert torch.allclose(half, full, rtol=0.05)


def test_other_files_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    weights, trunk = files
    with pytest.raises(MachineError, match="not torchvision's VGG-16"):
        LpipsVgg.load(weights, weights)
    with pytest.raises(MachineError, match=r"not the weights of LPIPS 0\.1"):
        LpipsVgg.load(trunk, trunk)
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(MachineError, match="It holds a list"):
        LpipsVgg.load(tmp_path / "list.pth", trunk)


def test_weights_that_are_not_here_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeightError, match="inscene weights pull lpips-vgg"):
        LpipsVgg.load()
