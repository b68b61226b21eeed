"""Face pairs of any size: fitted without resampling, and turned into tokens one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inscene.face2scene.config import Faces
from inscene.face2scene.face_pair import FacePair, fitted
from inscene.face2scene.fadex import FaDeX
from inscene.face2scene.mapnet import MapNet
from inscene.face2scene.tokens import degradation_tokens

sides = st.integers(1, 40)


def pair(height: int, width: int, seed: int = 0) -> FacePair:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, height, width, generator=generator) * 2 - 1
    return FacePair(lq=images[0], hq=images[1])


@pytest.fixture(scope="module")
def models() -> tuple[FaDeX, MapNet]:
    torch.manual_seed(0)
    fadex = FaDeX((16, 16, 32, 32, 32, 32), embedding_dim=32)
    return fadex.eval(), MapNet(in_channels=32, channels=64, token_dim=32).eval()


def reflected(image: Tensor, height: int, width: int) -> np.ndarray:
    """By NumPy, half of the missing pixels before, half after."""
    missing = [(0, 0)]
    for side, wanted in zip(image.shape[1:], (height, width), strict=True):
        short = max(0, wanted - side)
        missing.append((short // 2, short - short // 2))
    return np.pad(image.numpy(), missing, mode="reflect")


@settings(deadline=None, derandomize=True, max_examples=60)
@given(height=sides, width=sides, least=sides, more=st.integers(0, 20))
def test_short_sides_are_reflected_and_long_ones_cut(
    height: int, width: int, least: int, more: int
) -> None:
    given_pair, most = pair(height, width), least + more
    done = fitted(given_pair, least, most)
    for before, after in ((given_pair.lq, done.lq), (given_pair.hq, done.hq)):
        wide = reflected(before, least, least)
        rows, columns = (min(side, most) for side in wide.shape[1:])
        top, left = (wide.shape[1] - rows) // 2, (wide.shape[2] - columns) // 2
        np.testing.assert_array_equal(
            after.numpy(), wide[:, top : top + rows, left : left + columns]
        )


def test_a_pair_that_fits_is_left_alone() -> None:
    face = pair(32, 47)
    assert fitted(face, 32, 47) is face


def test_refuses_pairs_that_are_none() -> None:
    with pytest.raises(ValueError, match="of one size"):
        FacePair(lq=torch.zeros(3, 8, 8), hq=torch.zeros(3, 8, 9))
    with pytest.raises(ValueError, match="of one size"):
        FacePair(lq=torch.zeros(1, 3, 8, 8), hq=torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="of one size"):
        FacePair(lq=torch.zeros(3, 0, 8), hq=torch.zeros(3, 0, 8))
    with pytest.raises(ValueError, match="got 9 and 8"):
        fitted(pair(8, 8), 9, 8)


@pytest.mark.parametrize("side", [32, 47, 128])
def test_21_tokens_from_every_size(models: tuple[FaDeX, MapNet], side: int) -> None:
    tokens = degradation_tokens(*models, [pair(side, side)], Faces(), 512)
    assert tokens.shape == (1, 21, 32)


def test_each_pair_has_the_tokens_it_has_alone(models: tuple[FaDeX, MapNet]) -> None:
    faces = [pair(32, 32), pair(47, 60, seed=1), pair(70, 25, seed=2), pair(9, 3, seed=3)]
    together = degradation_tokens(*models, faces, Faces(), 512)
    assert together.shape == (4, 21, 32)
    for index, face in enumerate(faces):
        alone = degradation_tokens(*models, [face], Faces(), 512)
        torch.testing.assert_close(together[index], alone[0])
    assert len({tuple(row) for row in together.flatten(1).tolist()}) == 4


def test_tokens_are_mapnets_of_fadexs_features(models: tuple[FaDeX, MapNet]) -> None:
    fadex, mapnet = models
    face = pair(40, 33)
    expected = mapnet(fadex(face.hq[None], face.lq[None]).features)
    tokens = degradation_tokens(fadex, mapnet, [face], Faces(), 512)
    torch.testing.assert_close(tokens, expected)


def test_of_large_faces_the_middle_counts(models: tuple[FaDeX, MapNet]) -> None:
    face = pair(80, 72)
    middle = FacePair(lq=face.lq[:, 16:64, 12:60], hq=face.hq[:, 16:64, 12:60])
    cut = degradation_tokens(*models, [face], Faces(), 48)
    torch.testing.assert_close(cut, degradation_tokens(*models, [middle], Faces(), 48))
    whole = degradation_tokens(*models, [face], Faces(), 512)
    assert not torch.allclose(cut, whole, atol=1e-3)


def test_small_faces_are_padded_to_the_configured_side(models: tuple[FaDeX, MapNet]) -> None:
    small = pair(20, 20)
    tokens = degradation_tokens(*models, [small], Faces(), 512)
    by_hand = degradation_tokens(*models, [fitted(small, 32, 512)], Faces(), 512)
    torch.testing.assert_close(tokens, by_hand)
    with pytest.raises(ValueError, match="at least 25 px"):
        degradation_tokens(*models, [small], Faces(min_side_px=20), 512)


def test_gradients_are_the_callers(models: tuple[FaDeX, MapNet]) -> None:
    fadex, mapnet = models
    fadex.requires_grad_(False)
    try:
        degradation_tokens(fadex, mapnet, [pair(32, 32)], Faces(), 256).sum().backward()
        assert mapnet.patches.weight.grad is not None
        assert all(parameter.grad is None for parameter in fadex.parameters())
        with torch.no_grad():
            assert not degradation_tokens(fadex, mapnet, [pair(32, 32)], Faces(), 256).requires_grad
    finally:
        fadex.requires_grad_(True)
        mapnet.zero_grad()


def test_each_model_keeps_its_dtype(models: tuple[FaDeX, MapNet]) -> None:
    fadex = FaDeX((16, 16, 32, 32, 32, 32), embedding_dim=32).eval().to(torch.bfloat16)
    tokens = degradation_tokens(fadex, models[1], [pair(32, 32)], Faces(), 512)
    assert tokens.dtype == torch.float32
    mapnet = MapNet(in_channels=32, channels=64, token_dim=32).to(torch.bfloat16)
    tokens = degradation_tokens(models[0], mapnet, [pair(32, 32)], Faces(), 512)
    assert tokens.dtype == torch.bfloat16


def test_refuses_a_fadex_in_training_and_no_pair(models: tuple[FaDeX, MapNet]) -> None:
    fadex, mapnet = models
    with pytest.raises(ValueError, match="no face pair"):
        degradation_tokens(fadex, mapnet, [], Faces(), 512)
    fadex.train()
    try:
        with pytest.raises(ValueError, match="training mode"):
            degradation_tokens(fadex, mapnet, [pair(32, 32)], Faces(), 512)
    finally:
        fadex.eval()
