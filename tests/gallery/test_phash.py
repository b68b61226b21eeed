"""The hash is the one that imagehash gives, and the tree finds what looking at all finds."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from synthetic_photos import synthetic_photo

from inscene import images
from inscene.engine.rows import Keep, Row
from inscene.engine.step import StepContext
from inscene.gallery.hamming import BKTree
from inscene.gallery.phash import PHash, as_int, phash


def waves(width: int, height: int, frequency: float) -> NDArray[np.uint8]:
    """Integer arithmetic but for one cosine: the same on every machine."""
    y, x = np.mgrid[:height, :width]
    red = 127 + 100 * np.cos(frequency * x / 10) * np.cos(y / 23)
    green, blue = (7 * x + 3 * y) % 256, (x * y // 5) % 256
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("width", "height", "frequency", "imagehash"),
    [
        (64, 64, 1.0, "a02d5a554b52afba"),
        (200, 120, 0.3, "806b65157f0a2a7f"),
        (33, 257, 2.5, "80174eb5b5873f68"),
        (20, 20, 1.7, "aa74857eb649055e"),
    ],
)
def test_equals_imagehash(width: int, height: int, frequency: float, imagehash: str) -> None:
    """From ``str(imagehash.phash(Image.fromarray(...)))`` of imagehash 4.3.2."""
    assert phash(waves(width, height, frequency)) == imagehash


def test_flat_and_tiny_images_have_a_hash() -> None:
    flat = np.full((40, 30, 3), 200, np.uint8)
    assert phash(flat) == phash(flat[:9, :7]) == "8000000000000000"
    assert len(phash(np.zeros((1, 1, 3), np.uint8))) == 16


def test_a_recompressed_photo_is_near_and_another_far() -> None:
    photo = synthetic_photo(1, 240, 200).convert("RGB")
    small = photo.resize((120, 100))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=60)
    there = as_int(phash(np.asarray(photo)))
    again = as_int(phash(images.decode(buffer.getvalue()).pixels))
    other = as_int(phash(np.asarray(synthetic_photo(2, 240, 200).convert("RGB"))))
    assert (there ^ again).bit_count() <= 6
    assert (there ^ other).bit_count() > 6


def test_the_step_stores_both_hashes() -> None:
    pixels = np.asarray(Image.fromarray(waves(50, 40, 1.0)))
    row = Row("a", {}, pixels)
    (outcome,) = PHash().setup(StepContext(0))([row])
    assert isinstance(outcome, Keep)
    assert row.columns["phash"] == phash(pixels)
    assert row.columns["pixels_sha256"] == images.pixel_hash(pixels)


HASHES = st.lists(
    st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 255), st.sampled_from([0, 2**63, 7])),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(
    HASHES, st.integers(0, 2**64 - 1) | st.integers(0, 255), st.integers(0, 20), st.integers(2, 9)
)
def test_the_tree_finds_what_brute_force_finds(
    hashes: list[int], asked: int, distance: int, leaf: int
) -> None:
    tree = BKTree(leaf)
    for number, bits in enumerate(hashes):
        tree.add(bits, number)
    everything = [((bits ^ asked).bit_count(), number) for number, bits in enumerate(hashes)]
    assert sorted(tree.within(asked, distance)) == sorted(
        one for one in everything if one[0] <= distance
    )
