"""Writing PNG, thumbnails and hashes."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from inscene.images import decode, encode_png, pixel_hash, thumbnail

IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)))


@settings(deadline=None, derandomize=True)
@given(IMAGES)
def test_png_is_lossless_and_repeatable(pixels):
    data = encode_png(pixels)
    assert np.array_equal(decode(data).pixels, pixels)
    assert encode_png(pixels) == data


def test_png_takes_views():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    for view in (pixels[::2, ::-1], pixels.transpose(1, 0, 2), pixels[:, :, ::-1]):
        assert np.array_equal(decode(encode_png(view)).pixels, view)
        assert pixel_hash(view) == pixel_hash(view.copy())


def test_png_carries_no_metadata():
    data = encode_png(np.zeros((5, 5, 3), np.uint8))
    kinds, at = [], 8
    while at < len(data):
        kinds.append(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_a_programming_error(wrong):
    for function in (encode_png, pixel_hash, lambda pixels: thumbnail(pixels, 8)):
        with pytest.raises(ValueError, match=r"expected uint8( or uint16)? \(H, W, 3\)"):
            function(wrong)


def test_16_bits_come_back_and_readers_of_8_see_the_high_byte():
    pixels = np.random.default_rng(0).integers(0, 2**16, (31, 17, 3), np.uint16)
    data = encode_png(pixels)
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert stored.dtype == np.uint16
    assert np.array_equal(stored, pixels)
    assert decode(data).bit_depth == 16
    assert np.array_equal(decode(data).pixels, pixels >> 8)


@pytest.mark.parametrize(
    ("shape", "expected"), [((300, 200), (64, 96)), ((10, 300), (96, 3)), ((20, 10), (10, 20))]
)
def test_thumbnails_fit_and_never_grow(shape, expected):
    image = Image.open(io.BytesIO(thumbnail(np.zeros((*shape, 3), np.uint8), 96)))
    assert (image.format, image.size) == ("JPEG", expected)


def test_the_hash_knows_shape_and_values():
    pixels = np.zeros((4, 6, 3), np.uint8)
    changed = pixels.copy()
    changed[3, 5, 2] = 1
    hashes = [pixel_hash(pixels), pixel_hash(pixels.reshape(6, 4, 3)), pixel_hash(changed)]
    assert len(set(hashes)) == 3
    assert pixel_hash(pixels.copy()) == hashes[0]
