"""Development against scenes that are known, by a sensor that is known."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rawpy")

from made_dng import (
    BLACK,
    NEUTRAL,
    WHITE,
    Camera,
    noise_of_linear_demosaic,
    patch_statistics,
    patches,
    to_linear,
    to_srgb,
    write_dng,
)

from inscene.errors import SampleError
from inscene.raw.develop import develop
from inscene.raw.settings import Settings

SCENE = patches()
DEEP = Settings(bits=16)


def reason(data: bytes, settings: Settings = DEEP) -> str:
    with pytest.raises(SampleError) as failed:
        develop(data, settings)
    return failed.value.reason


@pytest.mark.parametrize("demosaic", ["linear", "vng", "ppg", "ahd", "dcb", "dht", "aahd"])
def test_flat_colours_come_out_as_they_were(demosaic: str) -> None:
    """The largest error over 24 colours is 0.05 of an 8-bit level (AHD); a curve of BT.709, a black
    level subtracted twice, a lost white balance or matrix cost 5 levels or more."""
    developed = develop(write_dng(SCENE), Settings(bits=16, demosaic=demosaic))  # type: ignore[arg-type]
    mean, _ = patch_statistics(developed.pixels / 65535)
    expected, _ = patch_statistics(to_srgb(SCENE))
    assert np.abs(mean - expected).max() * 255 < 0.2


@pytest.mark.parametrize("brightest", [0.1, 0.5])
def test_exposure_does_not_depend_on_what_a_photo_shows(brightest: float) -> None:
    """LibRaw would brighten until a hundredth is white, and take 0.9 of the white level for it."""
    scene = SCENE * brightest
    mean, _ = patch_statistics(develop(write_dng(scene), DEEP).pixels / 65535)
    assert np.abs(mean - patch_statistics(to_srgb(scene))[0]).max() * 255 < 0.2
    brightened = develop(write_dng(scene), Settings(bits=16, auto_brightness=True))
    assert brightened.pixels.mean() > 1.2 * 65535 * mean.mean()


@pytest.mark.parametrize("iso", [800, 1600, 3200])
def test_noise_is_that_of_the_sensor(iso: int) -> None:
    """Shot and read noise, nothing of it removed and nothing added: 3 % off at most, on average
    over the 24 colours of each channel; mean colours are within 5 standard errors."""
    scene = patches(side=64)
    data = write_dng(scene, Camera(iso=iso, noise_seed=iso))
    developed = develop(data, Settings(bits=16, demosaic="linear"))
    mean, deviation = patch_statistics(to_linear(developed.pixels / 65535), side=64)
    colours, _ = patch_statistics(scene, side=64)
    expected = noise_of_linear_demosaic(colours, iso)
    assert (deviation / expected).mean((0, 1)) == pytest.approx(1, abs=0.03)
    # Neighbours share samples, so that 48² pixels tell less than 24² independent ones. Noise of
    # dark colours is cut off at black, which makes them lighter.
    assert np.abs((mean - colours) / (expected / 24))[colours > 0.15].max() < 5
    assert developed.facts["iso"] == iso


def test_noise_grows_from_group_to_group() -> None:
    """With the demosaic of the recipe: shot noise by the square root of 2, read noise by 2."""
    found = []
    for iso in (800, 1600, 3200):
        pixels = develop(write_dng(SCENE, Camera(iso=iso, noise_seed=1)), DEEP).pixels
        found.append(patch_statistics(to_linear(pixels / 65535))[1].mean())
    assert 1.38 < found[1] / found[0] < 1.5
    assert 1.38 < found[2] / found[1] < 1.5


def test_8_bits_are_the_high_byte_of_16() -> None:
    data = write_dng(SCENE, Camera(noise_seed=0))
    deep, shallow = develop(data, DEEP).pixels, develop(data, Settings()).pixels
    assert (deep.dtype, shallow.dtype) == (np.uint16, np.uint8)
    assert np.array_equal(deep >> 8, shallow)


TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
"""EXIF's orientations, from the pixels as they lie to those as they are seen."""


@pytest.mark.parametrize("orientation", TURNED)
def test_orientation_is_applied_once(orientation: int) -> None:
    lying = develop(write_dng(SCENE), DEEP).pixels
    developed = develop(write_dng(SCENE, Camera(orientation=orientation)), DEEP)
    assert np.array_equal(developed.pixels, TURNED[orientation](lying))
    assert (developed.facts["development"]["flip"] == 0) == (orientation == 1)


def test_what_is_known_of_a_capture() -> None:
    data = write_dng(SCENE, Camera(iso=800, exposure=(1, 30), make="Maker  Corp. ", model="M\t7"))
    facts = develop(data, DEEP).facts
    development = facts.pop("development")
    assert facts == {
        "iso": 800,
        "exposure_s": pytest.approx(1 / 30, rel=1e-5),
        "make": "Maker Corp.",
        "model": "M7",
        "black_level": [BLACK] * 4,
        "white_level": WHITE,
    }
    assert development["white_balance"][:3] == pytest.approx(1 / np.array(NEUTRAL), rel=1e-5)
    assert development["parameters"] == DEEP.parameters()
    import rawpy

    assert development["libraw"] == ".".join(map(str, rawpy.libraw_version))


def test_what_is_not_said_is_null() -> None:
    facts = develop(write_dng(SCENE, Camera(iso=None, leave_out=(271, 272))), DEEP).facts
    assert (facts["iso"], facts["make"], facts["model"]) == (None, None, None)


def test_no_white_balance_is_not_replaced_by_an_estimate() -> None:
    data = write_dng(SCENE, Camera(leave_out=(50728,)))
    assert reason(data) == "raw_without_white_balance"
    develop(data, Settings(white_balance="auto"))


def test_colours_of_an_unknown_sensor_are_not_passed_on() -> None:
    assert reason(write_dng(SCENE, Camera(leave_out=(50721, 50708)))) == "raw_unsupported"


@pytest.mark.parametrize("compression", [34713, 52546, 34925, 1234])
def test_unsupported_compressions(compression: int) -> None:
    data = bytearray(write_dng(SCENE))
    at = data.index(struct.pack("<HHI", 259, 3, 1)) + 8
    data[at : at + 2] = struct.pack("<H", compression)
    assert reason(bytes(data)) == "raw_unsupported"


@pytest.mark.parametrize(
    "content", [b"no photo at all", b"\x89PNG\r\n\x1a\n", b"II*\0\x08\0\0\0\0\0"]
)
def test_other_files(content: bytes) -> None:
    assert reason(content.ljust(2000, b"\0")) in {"raw_unsupported", "image_corrupt"}


def test_cut_files_are_refused_wherever_they_end() -> None:
    data = write_dng(SCENE)
    ends = [8, 9, 100, 300, 500, *range(1000, len(data), 4999), len(data) - 1]
    reasons = {reason(data[:end]) for end in ends if end < len(data) - 200}
    assert reasons == {"image_truncated"}


def test_a_cut_by_one_byte_of_pixels_is_seen(tmp_path: Path) -> None:
    """LibRaw alone makes the last pixel up."""
    import io

    import tifffile

    data = write_dng(SCENE)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages[0]
        end = page.dataoffsets[-1] + page.databytecounts[-1]
    assert reason(data[: end - 1]) == "image_truncated"


def test_too_many_pixels_are_refused_by_the_header() -> None:
    assert reason(write_dng(SCENE), Settings(max_megapixels=0.02)) == "image_too_many_pixels"
