"""The ends of every range, images of any shape: always an LQ, and never the clean image."""

from __future__ import annotations

import math
import typing
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.degrade import Operator, PsfField, degrade
from inscene.degrade import values as v
from inscene.degrade.apply import enlarge
from inscene.degrade.arrays import ByteImage
from inscene.degrade.operator import FinalOperator, StageOperator

PIXELS = 90_000
"""Of the largest image on the way; what is tested is the shapes, not the time."""

FILTERS = typing.get_args(v.Filter)
FAMILIES = typing.get_args(v.Family)


def ends(low: float, high: float, *between: float) -> st.SearchStrategy[float]:
    """Both bounds, and what lies between them, equally often."""
    return st.sampled_from([low, high, *between]) | st.floats(low, high)


kernel_sizes = st.sampled_from([1, 3, 7, 21, 41, 101])
sigmas = ends(0.01, 100, 0.2, 3)
grays = st.booleans()


@st.composite
def ellipses(draw: Any) -> v.EllipseBlur:
    family = draw(st.sampled_from(FAMILIES))
    sigma = draw(sigmas)
    shape = {"sigma_y": sigma}
    if family.endswith("aniso"):
        shape = {"sigma_y": draw(sigmas), "theta": draw(ends(-math.pi, math.pi, 0.0))}
    if family not in ("iso", "aniso"):
        shape["beta"] = draw(ends(0.05, 16, 1.0))
    return v.EllipseBlur(family=family, size=draw(kernel_sizes), sigma_x=sigma, **shape)


sincs = st.builds(v.SincBlur, size=kernel_sizes, cutoff=ends(0.01, math.pi))
lenses = st.builds(
    v.LensBlur,
    size=st.sampled_from([1, 3, 21, 101]),
    grid=st.sampled_from([2, 3]),
    centre_u=ends(-1, 1),
    centre_v=ends(-1, 1),
    sigma_centre=sigmas,
    sigma_edge=sigmas,
    gamma=ends(0.1, 10),
    stretch=ends(0.25, 4),
)
gaussians = st.builds(v.GaussianNoise, sigma=ends(0, 255), gray=grays)
poissons = st.builds(
    v.PoissonNoise,
    scale=ends(0, 16),
    levels=st.sampled_from([1, 2, 64, 256, 1000, 4096, "auto"]),
    gray=grays,
)
noises = st.lists(gaussians | poissons, max_size=3).map(tuple)
jpegs = st.builds(v.Jpeg, quality=ends(1, 100, 49.99, 50, 99.99))


def resizes(side: float) -> st.SearchStrategy[v.Resize]:
    """Of an image of this side (root of its pixels), enlarged no further than memory allows."""
    most = min(8.0, max(1.0, math.sqrt(PIXELS) / side))
    return st.builds(v.Resize, filter=st.sampled_from(FILTERS), scale=ends(0.01, most, 1.0))


@st.composite
def operators(draw: Any, size: tuple[int, int]) -> Operator:
    side, sf = math.sqrt(size[0] * size[1]), draw(st.sampled_from([1, 2, 3, 4, 16]))
    blurs = st.none() | ellipses() | sincs | lenses
    first, second = (
        st.builds(StageOperator, blur=blurs, resize=resizes(of), noise=noises, jpeg=jpegs)
        for of in (side, max(1.0, side / sf))
    )
    return Operator(
        sf=sf,
        usm=draw(st.booleans()),
        registration=draw(st.sampled_from(typing.get_args(v.Registration))),
        jpeg_backend=draw(st.sampled_from(typing.get_args(v.JpegBackend))),
        first=draw(first),
        second=draw(st.none() | second),
        final=FinalOperator(
            order=draw(st.sampled_from(typing.get_args(v.Order))),
            filter=draw(st.sampled_from(FILTERS)),
            sinc=draw(st.none() | sincs),
        ),
    )


image_sizes = (
    st.tuples(st.integers(1, 9), st.integers(1, 9))
    | st.tuples(st.integers(1, 150), st.integers(1, 150))
    | st.sampled_from([(1, 1), (4000, 1), (1, 4000), (1200, 37), (37, 1200), (255, 257), (16, 256)])
)
CONTENTS = ("noise", "black", "white", "gray", "edge", "ramp")


def image_of(content: str, height: int, width: int) -> ByteImage:
    image = np.zeros((height, width, 3), np.uint8)
    if content == "noise":
        rng = np.random.default_rng([height, width])
        return rng.integers(0, 256, image.shape, np.uint8)
    if content in ("white", "gray"):
        image[...] = 255 if content == "white" else 117
    if content == "edge":
        image[height // 2 :, width // 2 :] = 255
    if content == "ramp":
        image[...] = (np.arange(width) * 255 // max(1, width - 1))[None, :, None]
    return image


def assert_is_lq(lq: ByteImage, operator: Operator, size: tuple[int, int]) -> None:
    assert lq.dtype == np.uint8
    assert lq.shape == (*(max(1, side // operator.sf) for side in size), 3)
    assert lq.flags.c_contiguous
    assert lq.flags.owndata


@settings(deadline=None, derandomize=True, max_examples=250)
@given(data=st.data(), size=image_sizes, content=st.sampled_from(CONTENTS))
def test_every_valid_operator_gives_an_lq(data: Any, size: tuple[int, int], content: str) -> None:
    """pytest turns the warnings of NumPy about what is not finite into errors."""
    operator = data.draw(operators(size))
    image = image_of(content, *size)
    before = image.copy()
    lq = degrade(image, operator, 5)
    assert_is_lq(lq, operator, size)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(degrade(image, operator, 5), lq)
    assert enlarge(lq, size).shape == image.shape


def views(image: ByteImage) -> dict[str, ByteImage]:
    """The same pixels, otherwise in memory."""
    height, width = image.shape[:2]
    wide = np.zeros((2 * height, 3 * width, 4), np.uint8)
    wide[::2, 2::3, :3] = image
    read_only = image.copy()
    read_only.flags.writeable = False
    return {
        "every second row and third column of RGBA": wide[::2, 2::3, :3],
        "columns first": np.asfortranarray(image),
        "planes": np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0),
        "turned": np.ascontiguousarray(image[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
        "read-only": read_only,
        "repeated": np.broadcast_to(image, (2, *image.shape))[1],
    }


@settings(deadline=None, derandomize=True, max_examples=40)
@given(data=st.data(), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_only_the_pixels_matter(data: Any, size: tuple[int, int]) -> None:
    operator = data.draw(operators(size))
    image = image_of("noise", *size)
    lq = degrade(image, operator, 1)
    for name, view in views(image).items():
        np.testing.assert_array_equal(degrade(view, operator, 1), lq, err_msg=name)


def gentle(**changes: Any) -> Operator:
    """One that changes as little as an operator can, but for what is given."""
    stage = {"blur": None, "resize": {"filter": "area", "scale": 1.0}, "noise": []}
    data = {
        "sem": 1,
        "sf": 1,
        "usm": False,
        "registration": "exact",
        "jpeg_backend": "sim",
        "first": {**stage, "jpeg": {"quality": 100.0}},
        "second": None,
        "final": {"order": "resize_sinc_jpeg", "filter": "area", "sinc": None},
    }
    for key, value in changes.items():
        if key in stage or key == "jpeg":
            data["first"][key] = value  # type: ignore[index]
        else:
            data[key] = value
    return Operator.from_dict(data)


def iso(sigma: float, size: int = 21) -> dict[str, Any]:
    return {"family": "iso", "size": size, "sigma_x": sigma, "sigma_y": sigma}


LENS = {"family": "lens", "size": 21, "grid": 3, "centre_u": 0.0, "centre_v": 0.0}
STRONG: list[dict[str, Any]] = [
    {"blur": iso(100.0)},
    {"blur": iso(2.0)},
    {"blur": {**iso(3.0), "family": "plateau_iso", "beta": 0.05}},
    {"blur": {"family": "sinc", "size": 101, "cutoff": 0.01}},
    {"blur": {**LENS, "sigma_centre": 3.0, "sigma_edge": 9.0, "gamma": 1.0, "stretch": 1.0}},
    {"resize": {"filter": "area", "scale": 0.01}},
    {"resize": {"filter": "bilinear", "scale": 0.3}},
    {"resize": {"filter": "bicubic", "scale": 0.3}, "registration": "legacy"},
    {"noise": [{"kind": "gaussian", "sigma": 255.0, "gray": False}]},
    {"noise": [{"kind": "gaussian", "sigma": 20.0, "gray": True}]},
    {"noise": [{"kind": "poisson", "scale": 16.0, "levels": 1, "gray": False}]},
    {"noise": [{"kind": "poisson", "scale": 3.0, "levels": 256, "gray": True}]},
    {"noise": [{"kind": "poisson", "scale": 16.0, "levels": 4096, "gray": False}]},
    {"jpeg": {"quality": 1.0}},
    {"jpeg": {"quality": 10.0}, "jpeg_backend": "libjpeg"},
    {"jpeg": {"quality": 1.0}, "jpeg_backend": "libjpeg_bgr"},
    {"final": {
        "order": "resize_sinc_jpeg",
        "filter": "area",
        "sinc": {"family": "sinc", "size": 21, "cutoff": 0.5},
    }},
]  # fmt: skip


@pytest.mark.parametrize("changes", STRONG, ids=str)
@pytest.mark.parametrize("size", [(9, 9), (64, 48), (3, 400)])
def test_a_strong_operator_is_seen(changes: dict[str, Any], size: tuple[int, int]) -> None:
    """At GT size, where an LQ that is the clean image would pass for one."""
    image = image_of("noise", *size)
    lq = degrade(image, gentle(**changes), 2)
    assert_is_lq(lq, gentle(), size)
    assert np.abs(lq.astype(int) - image).mean() > 5


def test_a_gentle_operator_is_hardly_seen() -> None:
    """So that the differences above are those of the one change."""
    image = image_of("noise", 64, 48)
    image = np.repeat(np.repeat(image[::2, ::2], 2, axis=0), 2, axis=1)  # chroma loses nothing
    assert np.abs(degrade(image, gentle(), 2).astype(int) - image).max() <= 4
    assert np.abs(degrade(image, gentle(), 2).astype(int) - image).mean() < 0.5


@pytest.mark.parametrize("content", ["black", "white", "gray"])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (64, 64)])
def test_flat_images_stay_flat_without_noise(content: str, size: tuple[int, int]) -> None:
    """Whatever the blurs, filters and scales: only JPEG's black border is seen, and not at the best
    quality."""
    image = image_of(content, *size)
    for changes in STRONG:
        if "noise" not in changes and "jpeg" not in changes:
            lq = degrade(image, gentle(**changes), 3).astype(int)
            assert np.abs(lq - image).max() <= 2, changes


@pytest.mark.parametrize("jpeg_backend", typing.get_args(v.JpegBackend))
@pytest.mark.parametrize("quality", [1.0, 49.99, 50.0, 99.4, 99.99, 100.0])
def test_jpeg_at_its_ends(jpeg_backend: str, quality: float) -> None:
    """Between 99.99 and 100 the simulated tables fall to almost nothing and end in ones."""
    image = image_of("ramp", 45, 83)
    changed = gentle(jpeg={"quality": quality}, jpeg_backend=jpeg_backend)
    error = np.abs(degrade(image, changed, 0).astype(int) - image).mean()
    assert error < (2 if quality > 99 else 60)


def test_a_field_of_psfs_with_negative_lobes() -> None:
    """A measured one may have them. The LQ is clipped as any other."""
    rng = np.random.default_rng(0)
    psf = rng.normal(0, 0.2, (3, 3, 9, 9))
    psf[:, :, 4, 4] += 20
    psf_field = PsfField(psf)
    operator = gentle(blur=psf_field.blur.model_dump())
    for size in ((1, 1), (2, 3), (1, 300), (70, 51)):
        lq = degrade(image_of("edge", *size), operator, 0, psf_field)
        assert_is_lq(lq, operator, size)
