"""Views: every pixel is one of the pair's, in its place, in both images."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.face2scene.face_pair import FacePair
from inscene.face2scene.views import view

sides = st.integers(1, 30)


def numbered(height: int, width: int) -> FacePair:
    """LQ's pixels are numbered from 0 on in every channel, HQ's are LQ's negatives less 1."""
    lq = torch.arange(3.0 * height * width).reshape(3, height, width)
    return FacePair(lq=lq, hq=-lq - 1)


def padded(image: np.ndarray, side: int) -> np.ndarray:
    missing = [(0, 0)]
    for length in image.shape[1:]:
        short = max(0, side - length)
        missing.append((short // 2, short - short // 2))
    return np.pad(image, missing, mode="reflect")


def windows(image: np.ndarray, side: int) -> list[np.ndarray]:
    rows, columns = image.shape[1] - side + 1, image.shape[2] - side + 1
    return [
        image[:, top : top + side, left : left + side]
        for top in range(rows)
        for left in range(columns)
    ]


def turned(image: np.ndarray) -> list[np.ndarray]:
    return [
        np.rot90(flipped, turns, axes=(1, 2))
        for flipped in (image, image[:, :, ::-1])
        for turns in range(4)
    ]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(height=sides, width=sides, side=sides, seed=st.integers(0, 1000), use_torch=st.booleans())
def test_a_view_is_a_turned_window_of_the_padded_pair(
    height: int, width: int, side: int, seed: int, use_torch: bool
) -> None:
    pair = numbered(height, width)
    rng = torch.Generator().manual_seed(seed) if use_torch else np.random.default_rng(seed)
    seen = view(pair, side, rng)
    assert seen.lq.shape == (3, side, side)
    assert torch.equal(seen.hq, -seen.lq - 1)
    places = windows(padded(pair.lq.numpy(), side), side)
    # Turning back is turning on: the eight moves are a group.
    assert any(
        np.array_equal(moved, place) for moved in turned(seen.lq.numpy()) for place in places
    )


@pytest.mark.parametrize("use_torch", [False, True])
def test_all_places_and_moves_occur_alike(use_torch: bool) -> None:
    rng = torch.Generator().manual_seed(0) if use_torch else np.random.default_rng(0)
    pair = numbered(4, 5)
    counts = Counter(tuple(view(pair, 3, rng).lq[0].flatten().tolist()) for _ in range(4800))
    # 2 × 3 windows, 8 moves: 48 views of 100 each, give or take.
    assert len(counts) == 48
    assert min(counts.values()) > 60
    assert max(counts.values()) < 145


def test_a_seed_gives_the_same_views_and_another_others() -> None:
    pair = numbered(20, 20)

    def views(rng: np.random.Generator | torch.Generator) -> list[float]:
        return [view(pair, 8, rng).lq[0, 0, 0].item() for _ in range(10)]

    first = views(np.random.default_rng(1))
    assert first == views(np.random.default_rng(1))
    assert first != views(np.random.default_rng(2))
    torch_first = views(torch.Generator().manual_seed(1))
    assert torch_first == views(torch.Generator().manual_seed(1))


def test_a_view_is_a_copy_of_its_own_dtype() -> None:
    pair = FacePair(lq=torch.zeros(3, 8, 8).bfloat16(), hq=torch.zeros(3, 8, 8).bfloat16())
    seen = view(pair, 8, np.random.default_rng(0))
    assert seen.lq.dtype == torch.bfloat16
    seen.lq.add_(1)
    assert pair.lq.sum() == 0


def test_refuses_no_side() -> None:
    with pytest.raises(ValueError, match="side_px"):
        view(numbered(3, 3), 0, np.random.default_rng(0))
