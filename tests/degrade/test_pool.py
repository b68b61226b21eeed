"""Shared operators: how they are dealt out, and what the step makes of them."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inscene.degrade.arrays import ByteImage
from inscene.degrade.pool import Cell, deal, default_size
from inscene.degrade.step import Degrade
from inscene.engine.rows import Keep, Row
from inscene.engine.step import StepContext
from inscene.errors import UsageError


def ids(count: int) -> list[str]:
    return [hashlib.sha256(str(index).encode()).hexdigest()[:12] for index in range(count)]


def served(dealt: dict[Cell, int]) -> dict[int, list[str]]:
    """The images of each operator, one for each cell."""
    by_operator = defaultdict(list)
    for (image_id, _), number in dealt.items():
        by_operator[number].append(image_id)
    return by_operator


@st.composite
def requests(draw: Any) -> tuple[int, int, int, int]:
    """Images, versions, any allowed number of operators, seed. Most of the trouble is at the ends:
    all operators, or all but one, serve two cells only."""
    images, versions = draw(st.integers(2, 40)), draw(st.integers(1, 6))
    most = images * versions // 2
    near_most = st.integers(max(1, most - 1), most)
    return images, versions, draw(near_most | st.integers(1, most)), draw(st.integers(0, 2**63 - 1))


@settings(deadline=None, derandomize=True, max_examples=400)
@given(requests())
def test_every_operator_serves_two_images(request: tuple[int, int, int, int]) -> None:
    images, versions, operators, seed = request
    names = ids(images)
    dealt = deal(names, versions, operators, seed)
    assert set(dealt) == {(name, version) for name in names for version in range(versions)}
    by_operator = served(dealt)
    assert set(by_operator) == set(range(operators))
    assert min(len(set(members)) for members in by_operator.values()) >= 2
    counts = [len(members) for members in by_operator.values()]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("images", [2, 3])
@pytest.mark.parametrize("versions", [1, 2, 3, 6])
def test_few_images(images: int, versions: int) -> None:
    """With two images and the most operators each must get exactly one cell of either: chance alone
    all but never deals like that, so that these are the cases of the swaps."""
    for seed in range(150):
        for operators in range(1, images * versions // 2 + 1):
            by_operator = served(deal(ids(images), versions, operators, seed))
            assert len(by_operator) == operators
            assert all(len(set(members)) >= 2 for members in by_operator.values())


@settings(deadline=None, derandomize=True, max_examples=60)
@given(request=requests(), shuffler=st.randoms(use_true_random=False))
def test_the_order_of_the_ids_means_nothing(
    request: tuple[int, int, int, int], shuffler: Any
) -> None:
    images, versions, operators, seed = request
    names = ids(images)
    shuffled = list(names)
    shuffler.shuffle(shuffled)
    assert deal(names, versions, operators, seed) == deal(shuffled, versions, operators, seed)
    assert deal(tuple(names), versions, operators, seed) == deal(names, versions, operators, seed)


def test_the_seed_and_the_versions_decide() -> None:
    dealt = [deal(ids(20), 5, 50, seed) for seed in range(4)]
    for one in range(4):
        for other in range(one):
            same = sum(dealt[one][cell] == number for cell, number in dealt[other].items())
            assert same < 15  # 2 of 100 by chance


def test_pairs_are_random() -> None:
    """Each image meets each other one about as often, whatever the order of the ids."""
    names, meetings, seeds = ids(6), Counter[frozenset[str]](), 600
    for seed in range(seeds):
        for members in served(deal(names, 1, 3, seed)).values():
            meetings[frozenset(members)] += 1
    assert len(meetings) == 15
    expected, error = seeds / 5, (seeds * 0.2 * 0.8) ** 0.5
    assert all(abs(count - expected) < 4 * error for count in meetings.values())


@pytest.mark.parametrize(
    ("images", "versions", "operators"),
    [(0, 5, 1), (1, 1, 1), (1, 6, 1), (1, 6, 3), (2, 1, 2), (2, 1, 0), (3, 1, 2), (5, 3, 8)],
)
def test_what_cannot_be_dealt(images: int, versions: int, operators: int) -> None:
    with pytest.raises(UsageError, match="cannot each serve two") as caught:
        deal(ids(images), versions, operators, 0)
    assert f"{images} images × {versions} versions" in str(caught.value)


def test_default_size_is_the_most_that_can_be_dealt() -> None:
    for images in range(2, 12):
        for versions in range(1, 7):
            size = default_size(images, versions)
            deal(ids(images), versions, size, 0)
            with pytest.raises(UsageError):
                deal(ids(images), versions, size + 1, 0)
    assert default_size(57_449, 5) == 143_622


# --- through the step -------------------------------------------------------------------------


def degraded(
    step: Degrade, pixels: Sequence[ByteImage], *, seed: int = 3, shas: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The columns of all rows."""
    names = ids(len(pixels))
    context = StepContext(seed, all_inputs=lambda: names)
    rows = [
        Row(name, {"image": {"path": f"{name}.jpg"}, "sha256": sha}, image)
        for name, sha, image in zip(names, shas or names, pixels, strict=True)
    ]
    outcomes = step.setup(context)(rows)
    assert all(isinstance(outcome, Keep) for outcome in outcomes)
    return [row.columns for outcome in outcomes for row in outcome.rows]  # type: ignore[union-attr]


def decoded(column: dict[str, Any]) -> ByteImage:
    return np.asarray(Image.open(io.BytesIO(column["bytes"])))


def textures(count: int) -> list[ByteImage]:
    return [
        np.random.default_rng(seed).integers(0, 256, (24, 20, 3), np.uint8) for seed in range(count)
    ]


@pytest.mark.parametrize(("pool", "expected"), [("auto", 12), (4, 4), (1, 1)])
def test_each_operator_id_is_of_two_images(pool: Any, expected: int) -> None:
    rows = degraded(Degrade(versions=5, operator_pool=pool), textures(5))
    assert len(rows) == 25
    images = defaultdict(set)
    for row in rows:
        images[row["operator_id"]].add(row["sha256"])
    assert len(images) == expected
    assert min(map(len, images.values())) >= 2
    # An operator's number says nothing of its images: seeds of the noise are all different.
    assert len({row["seed"] for row in rows}) == 25


def test_the_rows_depend_on_the_seed_and_not_on_who_asks() -> None:
    step, pixels = Degrade(versions=2, operator_pool=4), textures(5)
    whole = degraded(step, pixels)
    assert whole == degraded(step, pixels)
    assert not {row["operator_id"] for row in whole} & {
        row["operator_id"] for row in degraded(step, pixels, seed=4)
    }
    # Another worker has some of the rows, and the ids of all.
    names = ids(5)
    call = step.setup(StepContext(3, all_inputs=lambda: names[::-1]))
    columns = {"image": {"path": f"{names[4]}.jpg"}, "sha256": names[4]}
    (outcome,) = call([Row(names[4], columns, pixels[4])])
    assert isinstance(outcome, Keep)
    assert [row.columns for row in outcome.rows] == whole[8:]


def flat_images(count: int) -> list[ByteImage]:
    return [np.full((256, 256, 3), 120, np.uint8)] * count


def noise_of(row: dict[str, Any]) -> Any:
    lq = decoded(row["lq"]).astype(float)
    residual = (lq - lq.mean()).ravel()
    return residual / residual.std()


def test_noise_is_of_the_content_and_not_of_the_operator() -> None:
    """Images of one operator have fields of their own; a copy under another name has the same."""
    step = Degrade(profile="realesrgan", versions=1, operator_pool=1)
    rows = degraded(step, flat_images(4), shas=["one", "two", "three", "two"])
    assert len({row["operator_id"] for row in rows}) == 1
    one, two, three, copy = rows
    assert two["lq"]["bytes"] == copy["lq"]["bytes"]
    assert two["seed"] == copy["seed"]
    fields = [noise_of(row) for row in (one, two, three)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        # Blurred and compressed, the field has far fewer independent values than pixels.
        assert abs(float((fields[a] * fields[b]).mean())) < 0.2
    assert len({one["seed"], two["seed"], three["seed"]}) == 3


def test_shared_noise_is_of_the_operator() -> None:
    step = Degrade(profile="realesrgan", versions=2, operator_pool=2, share_noise=True)
    rows = degraded(step, flat_images(4))
    seeds, made = defaultdict(set), defaultdict(set)
    for row in rows:
        seeds[row["operator_id"]].add(row["seed"])
        made[row["operator_id"]].add(row["lq"]["bytes"])
    assert len(seeds) == 2
    assert all(len(of_one) == 1 for of_one in (*seeds.values(), *made.values()))
    assert len(set.union(*seeds.values())) == 2
    # The draws of the operators are the same as without.
    plain = degraded(Degrade(profile="realesrgan", versions=2, operator_pool=2), flat_images(4))
    assert [row["operator_id"] for row in plain] == [row["operator_id"] for row in rows]
    # They are of the dataset's seed.
    other = degraded(step, flat_images(4), seed=9)
    assert not {row["seed"] for row in other} & {row["seed"] for row in rows}


def test_a_fixed_operator_can_share_its_noise_too() -> None:
    step = Degrade(operator="d2", versions=1, share_noise=True)
    rows = degraded(step, flat_images(3))
    assert len({row["lq"]["bytes"] for row in rows}) == 1
    rows = degraded(Degrade(operator="d2", versions=1), flat_images(3))
    assert len({row["lq"]["bytes"] for row in rows}) == 3


def test_levels_from_the_image_cannot_be_shared() -> None:
    step = Degrade(versions=1, operator_pool=1, poisson_levels="auto")
    with pytest.raises(UsageError, match="cannot be shared"):
        step.setup(StepContext(0, all_inputs=lambda: ids(4)))
    # Fixed ones can, and levels from the image are fine for operators of an image's own.
    degraded(Degrade(versions=1, operator_pool=1, poisson_levels=64), textures(2))
    degraded(Degrade(versions=1, poisson_levels="auto"), textures(2))


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("pool", ["auto", 1])
def test_a_pool_needs_two_images(count: int, pool: Any) -> None:
    step = Degrade(versions=4, operator_pool=pool)
    with pytest.raises(UsageError, match="cannot each serve two"):
        step.setup(StepContext(0, all_inputs=lambda: ids(count)))


@pytest.mark.parametrize(
    "also", [{"operator_pool": 2}, {"operator_pool": "auto"}, {"varying_blur": "corners"}]
)
def test_one_operator_for_all_and_a_pool_exclude_each_other(also: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        Degrade(operator="d1", **also)


def test_the_pool_is_part_of_the_recipe() -> None:
    prints = [
        repr(Degrade(**changes).fingerprint())
        for changes in ({}, {"operator_pool": 3}, {"operator_pool": "auto"}, {"share_noise": True})
    ]
    assert len(set(prints)) == 4
