"""The blur that varies over the image: what the lens does, and the mix against its definition."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.degrade import Operator, degrade, load_profile
from inscene.degrade.arrays import ByteImage
from inscene.degrade.blur import blur
from inscene.degrade.drawing import draw_lens
from inscene.degrade.kernels import effective_sigma, kernel
from inscene.degrade.passes import KERNEL_ERROR, decompose
from inscene.degrade.profile import load_lens
from inscene.degrade.values import EllipseBlur, LensBlur
from inscene.degrade.varying import (
    blur_varying,
    kernel_at,
    lens_kernels,
    lens_sigma,
    node_weights,
)
from inscene.seeds import Draws

CORNERS = load_lens("corners")

shapes = st.sampled_from([(1024, 1024), (600, 1000), (1333, 750), (37, 53)])
lenses = st.integers(0, 2**40).map(lambda index: draw_lens(CORNERS, Draws(index), "first.blur"))
extreme_lenses = st.builds(
    LensBlur,
    size=st.just(CORNERS.size),
    grid=st.just(CORNERS.grid),
    centre_u=st.sampled_from(CORNERS.centre),
    centre_v=st.sampled_from(CORNERS.centre),
    sigma_centre=st.sampled_from(CORNERS.sigma_centre),
    sigma_edge=st.sampled_from(CORNERS.sigma_edge),
    gamma=st.sampled_from(CORNERS.gamma),
    stretch=st.sampled_from(CORNERS.stretch),
)


def lens(**changes: Any) -> LensBlur:
    values = {"size": 21, "grid": 9, "centre_u": 0.0, "centre_v": 0.0, "gamma": 2.0}
    values |= {"sigma_centre": 0.5, "sigma_edge": 2.6, "stretch": 1.0}
    return LensBlur(**{**values, **changes})


def random_image(height: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng([height, width, seed]).random((3, height, width), np.float32)


# --- the lens ---------------------------------------------------------------------------------


def effective_sigmas(kernels: Any, places: Any) -> Any:
    """Those of the mixed kernels: second moments mix as the kernels do, which is quicker."""
    grid, size = kernels.shape[0], kernels.shape[2]
    line = np.arange(size) - size // 2
    moments = (kernels * (line[:, None] ** 2 + line[None, :] ** 2)).sum(axis=(2, 3)) / 2
    at = (places + 1) / 2 * (grid - 1)
    right, down = (np.maximum(0, 1 - np.abs(at[:, i, None] - np.arange(grid))) for i in (0, 1))
    return np.sqrt(np.einsum("pr,pc,rc->p", down, right, moments))


def ray(angle: float, steps: int = 80) -> Any:
    """(u, v) from the image's centre to its border."""
    direction = np.array([math.cos(angle), math.sin(angle)])
    return np.linspace(0, 1 / np.abs(direction).max(), steps)[:, None] * direction


@settings(deadline=None, derandomize=True, max_examples=60)
@given(drawn=lenses | extreme_lenses, size=shapes)
def test_the_blur_grows_along_every_ray(drawn: LensBlur, size: tuple[int, int]) -> None:
    """Widths are those of the mixed kernels, cut by their window. About the centre of the lens and
    not the image's, this holds of the nodes alone: the lens's centre lies between nodes."""
    kernels = lens_kernels(drawn, size)
    for angle in np.linspace(0, 2 * math.pi, 72, endpoint=False):
        widths = effective_sigmas(kernels, ray(angle))
        assert np.diff(widths).min() >= -1e-9, (angle, widths)
        start = np.array([drawn.centre_u, drawn.centre_v])
        asked = [lens_sigma(drawn, *place, size) for place in start + ray(angle)]
        assert np.diff(asked).min() >= 0


def test_the_quick_widths_are_the_widths() -> None:
    kernels = lens_kernels(lens(centre_u=0.04, stretch=1.5), (60, 90))
    places = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    slow = [effective_sigma(kernel_at(kernels, u, v)) for u, v in places]
    np.testing.assert_allclose(effective_sigmas(kernels, places), slow, rtol=1e-9)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(drawn=lenses | extreme_lenses, size=shapes)
def test_mild_in_the_centre_strong_in_the_corners(drawn: LensBlur, size: tuple[int, int]) -> None:
    """The centre of the lens is up to 5 % off the image's, by which the image's centre gets up to
    0.025 px more, and the nearest corner up to 14 % less, than where they coincide."""
    kernels = lens_kernels(drawn, size)
    centre, *corners = effective_sigmas(
        kernels, np.array([(0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)], float)
    )
    assert centre <= 0.8 + 0.025 + 0.01
    assert max(corners) >= 1.5 * 0.985  # the window cuts the tails
    assert min(corners) >= (0.2 + 1.3 * 0.95**3) * 0.985
    assert min(corners) > 1.5 * centre
    centred = drawn.model_copy(update={"centre_u": 0.0, "centre_v": 0.0})
    corners = lens_kernels(centred, size)[:: centred.grid - 1, :: centred.grid - 1]
    for weights in corners.reshape(4, centred.size, centred.size):
        assert effective_sigma(weights) >= 1.5 * 0.985


def test_stretched_along_the_tangent() -> None:
    """Narrow kernels in a wide window have the asked moments, up to the sampling."""
    made = lens_kernels(lens(size=41, sigma_centre=1.0, sigma_edge=2.0, stretch=1.8), (500, 500))
    line = np.arange(41) - 20.0
    x, y = line[None, :], line[:, None]
    for (row, column), (u, v) in {(4, 8): (1, 0), (8, 4): (0, 1), (8, 8): (1, 1)}.items():
        weights = made[row, column]
        rho = math.hypot(u, v) / math.sqrt(2)
        sigma, stretch = 1 + rho**2, 1 + 0.8 * rho
        along, across = (
            (u * x + v * y) / math.hypot(u, v),
            (u * y - v * x) / math.hypot(u, v),
        )
        assert (weights * along**2).sum() == pytest.approx(sigma**2 / stretch, rel=1e-3)
        assert (weights * across**2).sum() == pytest.approx(sigma**2 * stretch, rel=1e-3)
        assert (weights * along * across).sum() == pytest.approx(0, abs=1e-6)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    drawn=lenses,
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    factor=st.integers(2, 7),
    grid=st.integers(2, 6),
)
def test_one_field_serves_all_sizes(
    drawn: LensBlur, height: int, width: int, factor: int, grid: int
) -> None:
    """Nodes stand at fractions of the image: kernels depend on its shape and not on its size, and
    a node that two grids share has one kernel."""
    small = lens_kernels(drawn, (height, width))
    large = lens_kernels(drawn, (height * factor, width * factor))
    np.testing.assert_allclose(small, large, atol=1e-9)
    coarse = lens_kernels(drawn.model_copy(update={"grid": grid}), (height, width))
    fine = lens_kernels(drawn.model_copy(update={"grid": 2 * grid - 1}), (height, width))
    np.testing.assert_allclose(coarse, fine[::2, ::2], atol=1e-9)


@settings(deadline=None, derandomize=True)
@given(
    sigma_centre=st.sampled_from([0.01, 0.3, 100.0]),
    sigma_edge=st.sampled_from([0.01, 3.0, 100.0]),
    gamma=st.sampled_from([0.1, 1.0, 10.0]),
    stretch=st.sampled_from([0.25, 1.0, 4.0]),
    centre=st.tuples(st.sampled_from([-1.0, 0.03, 1.0]), st.sampled_from([-1.0, 0.0, 1.0])),
    size=st.sampled_from([1, 3, 21]),
    image=st.sampled_from([(1, 1), (1, 4000), (37, 53)]),
)
def test_extreme_lenses_have_kernels(
    centre: tuple[float, float], image: tuple[int, int], **values: Any
) -> None:
    kernels = lens_kernels(lens(grid=3, centre_u=centre[0], centre_v=centre[1], **values), image)
    assert np.isfinite(kernels).all()
    assert kernels.min() >= 0
    np.testing.assert_allclose(kernels.sum(axis=(2, 3)), 1, rtol=1e-12)


# --- the mix ----------------------------------------------------------------------------------


def random_field(rng: np.random.Generator, grid: int, size: int) -> Any:
    """Positive kernels which the passes hold without loss: of rank 1, or with no small singular
    value, which are then applied as squares."""
    field = np.empty((grid, grid, size, size))
    for node in itertools.product(range(grid), repeat=2):
        column, row = 0.05 + rng.random((2, size))
        square = rng.random((size, size)) + 3 * size * np.eye(size)[rng.permutation(size)]
        # A rotation that leaves mass in the outer ring whatever the permutation was.
        field[node] = np.outer(column, row) if rng.random() < 0.5 else square + 0.05
        field[node] /= field[node].sum()
    return field


def reference(image: Any, kernels: Any) -> Any:
    """Σ w(node)·(kernel(node) ⋆ image) over whole images in double precision; NumPy's ``reflect``
    is the border, and its interpolation of a unit vector is the weight."""
    height, width = image.shape[1:]
    grid, half = kernels.shape[0], kernels.shape[2] // 2
    padded = np.pad(image, ((0, 0), (half, half), (half, half)), mode="reflect").astype(float)
    nodes, total = np.linspace(0, 1, grid), np.zeros(image.shape)
    for row, column in itertools.product(range(grid), repeat=2):
        down = np.interp((np.arange(height) + 0.5) / height, nodes, np.eye(grid)[row])
        right = np.interp((np.arange(width) + 0.5) / width, nodes, np.eye(grid)[column])
        correlated = np.zeros(image.shape)
        for dy, dx in itertools.product(range(2 * half + 1), repeat=2):
            shifted = padded[:, dy : dy + height, dx : dx + width]
            correlated += kernels[row, column, dy, dx] * shifted
        total += down[:, None] * right[None, :] * correlated
    return total


@settings(deadline=None, derandomize=True, max_examples=80)
@given(
    height=st.integers(1, 33),
    width=st.integers(1, 33),
    grid=st.integers(2, 6),
    half=st.integers(0, 5),
    seed=st.integers(0, 2**30),
)
def test_the_mix_is_its_definition(
    height: int, width: int, grid: int, half: int, seed: int
) -> None:
    """Odd sizes, fewer pixels than nodes, single rows, kernels wider than the image."""
    kernels = random_field(np.random.default_rng(seed), grid, 2 * half + 1)
    image = random_image(height, width, seed)
    untouched = image.copy()
    blurred = blur_varying(image, kernels)
    assert blurred.dtype == np.float32
    np.testing.assert_allclose(blurred, reference(image, kernels), rtol=0, atol=2e-6)
    np.testing.assert_array_equal(image, untouched)


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (37, 1), (2, 3), (5, 200), (300, 7)])
def test_a_grid_of_many_nodes_on_few_pixels(size: tuple[int, int]) -> None:
    kernels = random_field(np.random.default_rng(1), 16, 3)
    image = random_image(*size)
    np.testing.assert_allclose(
        blur_varying(image, kernels), reference(image, kernels), rtol=0, atol=2e-6
    )


@settings(deadline=None, derandomize=True, max_examples=15)
@given(drawn=lenses)
def test_a_lens_is_blurred_within_the_error_of_the_passes(drawn: LensBlur) -> None:
    image = random_image(45, 61)
    kernels = lens_kernels(drawn, (45, 61))
    np.testing.assert_allclose(
        blur_varying(image, kernels), reference(image, kernels), rtol=0, atol=KERNEL_ERROR
    )


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    drawn=lenses | extreme_lenses,
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    value=st.floats(0, 1, width=32),
)
def test_flat_areas_stay(drawn: LensBlur, height: int, width: int, value: float) -> None:
    flat = np.full((3, height, width), value, np.float32)
    blurred = blur_varying(flat, lens_kernels(drawn, (height, width)))
    np.testing.assert_allclose(blurred, flat, rtol=0, atol=1e-6)


@pytest.mark.parametrize("grid", [2, 5, 9])
@pytest.mark.parametrize("family", ["iso", "aniso", "plateau_aniso"])
def test_a_constant_field_is_an_ordinary_blur(grid: int, family: Any) -> None:
    turned = {"sigma_y": 0.7, "theta": 0.6} if family != "iso" else {"sigma_y": 2.1}
    weights = kernel(EllipseBlur(family=family, size=15, sigma_x=2.1, **turned))
    image = random_image(67, 91)
    field = np.broadcast_to(weights, (grid, grid, 15, 15))
    ordinary = blur(image, decompose(weights))
    np.testing.assert_allclose(blur_varying(image, field), ordinary, rtol=0, atol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(length=st.integers(1, 300), grid=st.integers(2, 64), factor=st.sampled_from([3, 5]))
def test_nodes_stand_at_fractions_of_the_side(length: int, grid: int, factor: int) -> None:
    weights = node_weights(length, grid)
    assert weights.shape == (grid, length)
    assert weights.min() >= 0
    assert (weights > 0).sum(axis=0).max() <= 2
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-6)
    # The first node lies on the outer edge of the first pixel, the last one on that of the last.
    places = np.linspace(0, 1, grid) @ weights
    np.testing.assert_allclose(places, (np.arange(length) + 0.5) / length, atol=1e-6)
    # The middle of each three pixels lies where the one pixel of a third of the size does.
    finer = node_weights(length * factor, grid)[:, factor // 2 :: factor]
    np.testing.assert_allclose(finer, weights, atol=1e-5)


def test_the_kernel_at_a_place_is_what_is_applied_there() -> None:
    """The record tells the widths at places from this kernel."""
    image, kernels = random_image(40, 56), random_field(np.random.default_rng(5), 4, 7)
    blurred = blur_varying(image, kernels)
    padded = np.pad(image, ((0, 0), (3, 3), (3, 3)), mode="reflect").astype(float)
    for y, x in ((0, 0), (39, 55), (20, 28), (7, 50)):
        mixed = kernel_at(kernels, (2 * x + 1) / 56 - 1, (2 * y + 1) / 40 - 1)
        expected = (padded[:, y : y + 7, x : x + 7] * mixed).sum(axis=(1, 2))
        np.testing.assert_allclose(blurred[:, y, x], expected, atol=2e-6)


def test_detail_fades_towards_the_corners() -> None:
    """On noise of all frequencies; from σ 0.5 in the centre to 2.6 in the corners."""
    side = 384
    image = random_image(side, side)
    blurred = blur_varying(image, lens_kernels(lens(), (side, side)))

    def laplacian(x: Any) -> Any:
        x = x.astype(float)
        neighbours = x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:]
        return neighbours - 4 * x[:, 1:-1, 1:-1]

    place = np.abs(np.arange(side - 2) - (side - 3) / 2) / (side / 2)
    rho = np.hypot(place[:, None], place[None, :]) / math.sqrt(2)
    before, after = laplacian(image), laplacian(blurred)
    kept = []
    for low, high in itertools.pairwise(np.linspace(0, 1, 9)):
        ring = (rho >= low) & (rho < high)
        kept.append(after[:, ring].var() / before[:, ring].var())
    assert (np.diff(kept) < 0).all(), kept
    assert 0.1 < kept[0] < 0.6
    assert kept[-1] < 0.01


# --- in an operator ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["s3diff", "realesrgan", "faceme"])
def test_a_lens_changes_no_other_draw(name: str) -> None:
    plain = load_profile(name)
    varying = plain.with_changes(varying_blur=CORNERS)
    for index in range(40):
        ordinary = Operator.draw(plain, Draws("lens", index)).to_dict()
        made = Operator.draw(varying, Draws("lens", index)).to_dict()
        assert made["first"]["blur"].pop("family") == "lens"
        assert made["first"].pop("blur") != ordinary["first"].pop("blur")
        assert made == ordinary


def test_all_after_the_first_blur_is_the_same(small_photo: ByteImage) -> None:
    """A lens that does not vary is a round Gaussian: the same noise fields and the same steps must
    follow. Rounding ties of JPEG may fall to the other side where the last float bit differs."""
    for index in range(4):
        data = Operator.draw(load_profile("s3diff"), Draws("same", index)).to_dict()
        made = []
        for first in (
            lens(size=13, sigma_centre=1.3, sigma_edge=1.3),
            EllipseBlur(family="iso", size=13, sigma_x=1.3, sigma_y=1.3),
        ):
            data["first"]["blur"] = first.model_dump()
            made.append(degrade(small_photo, Operator.from_dict(data), 11).astype(int))
        assert (np.abs(made[0] - made[1]) > 1).mean() < 0.01
        assert (made[0] == made[1]).mean() > 0.9
        other_noise = degrade(small_photo, Operator.from_dict(data), 12)
        assert (made[0] == other_noise).mean() < 0.5


def test_a_lens_is_seen_in_the_lq(photographs: dict[str, ByteImage]) -> None:
    """The corners of the LQ lose more than its centre, against the LQ without a lens."""
    tile = photographs["cat"][100:228, 150:278]
    photo = np.ascontiguousarray(np.tile(tile, (3, 3, 1)))  # the same detail in centre and corner
    data = Operator.draw(load_profile("s3diff"), Draws("seen", 0)).to_dict()
    data |= {"sf": 1, "second": None, "final": {**data["final"], "sinc": None}}
    data["first"] |= {"noise": [], "resize": {"filter": "area", "scale": 1.0}}
    data["first"]["jpeg"] = {"quality": 100.0}
    data["first"]["blur"] = lens().model_dump()
    varying = degrade(photo, Operator.from_dict(data), 0).astype(float)
    lost = np.abs(varying - photo)
    assert lost[128:256, 128:256].mean() < 0.5 * lost[:128, :128].mean()
