"""The generator against its published answers, and its normals against the normal distribution."""

from __future__ import annotations

import math
import types
from typing import Any

import numpy as np
import pytest
from numba import njit
from scipy import stats

from inscene.degrade import philox
from inscene.degrade.philox import CHUNK, fill_normals, fill_words

QUARTER, HALF = CHUNK // 4, CHUNK // 2
KEYS = (0, 1, 0xFFFFFFFF, 1 << 32, 0x243F6A8885A308D3, 2**64 - 1)
CHUNKS = (0, 1, 77, 2**22 - 1, 2**22, 2**30 + 5)  # 2²² chunks are 2³² counters


def philox4x32_10(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """As the paper writes it (Salmon et al. 2011), in Python's integers."""
    (a, b, c, d), (k0, k1), word = counter, key, 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (p1 >> 32) ^ b ^ k0, p1 & word, (p0 >> 32) ^ d ^ k1, p0 & word
        k0, k1 = (k0 + 0x9E3779B9) & word, (k1 + 0xBB67AE85) & word
    return a, b, c, d


# Random123 1.14, tests/kat_vectors, "philox4x32 10": counter, key, answer.
KNOWN = [
    (
        (0, 0, 0, 0),
        (0, 0),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_the_reference_gives_the_published_answers(
    counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]
) -> None:
    assert philox4x32_10(counter, key) == answer


def words_of(key: int, chunk: int) -> Any:
    words = np.zeros(CHUNK, np.uint32)
    fill_words(np.uint64(key), chunk, words)
    return words


def test_a_published_answer() -> None:
    """Counter 0 and key 0; its four words lie a quarter of a chunk apart."""
    assert tuple(words_of(0, 0)[::QUARTER]) == KNOWN[0][2]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("chunk", CHUNKS)
def test_words(key: int, chunk: int) -> None:
    """Word i of a chunk is output i // 1024 of counter i % 1024 in it: 64 bits of counter, the high
    half of the 128 stays 0, and a key with its low word first."""
    words = words_of(key, chunk)
    for i in (0, 1, 2, 511, 1022, 1023):
        counter = chunk * QUARTER + i
        expected = philox4x32_10(
            (counter & 0xFFFFFFFF, counter >> 32, 0, 0), (key & 0xFFFFFFFF, key >> 32)
        )
        assert tuple(words[i::QUARTER]) == expected


def normals_of(key: int, chunks: int, first: int = 0) -> Any:
    words, normals = np.empty(CHUNK, np.uint32), np.empty((chunks, CHUNK), np.float32)
    for chunk in range(chunks):
        fill_normals(np.uint64(key), first + chunk, words, normals[chunk])
    return normals


def box_muller(words: Any) -> tuple[Any, Any, Any]:
    """Radius, cosine and sine in double precision from a chunk's words: the first half gives radii,
    the second angles from -π/4 on, with a quarter of the circle in the two highest bits."""
    unit = (words[:HALF] | np.uint32(1)).astype(np.float32).astype(float) * 2.0**-32
    angle = words[HALF:].astype(float) * (2 * math.pi / 2**32) - math.pi / 4
    return np.sqrt(-2 * np.log(unit)), np.cos(angle), np.sin(angle)


@pytest.mark.parametrize("key", KEYS)
def test_logarithm_sine_and_cosine(key: int) -> None:
    for chunk in (0, 3, 2**22 + 1):
        radius, cos, sin = box_muller(words_of(key, chunk))
        (made,) = normals_of(key, 1, chunk).astype(float)
        x, y = made[:HALF], made[HALF:]
        np.testing.assert_allclose(np.hypot(x, y), radius, rtol=0, atol=1e-6)
        np.testing.assert_allclose(made, np.concatenate([radius * cos, radius * sin]), atol=2e-6)
        seen = radius > 1e-3
        np.testing.assert_allclose((x / np.hypot(x, y))[seen], cos[seen], rtol=0, atol=2e-7)
        np.testing.assert_allclose((y / np.hypot(x, y))[seen], sin[seen], rtol=0, atol=2e-7)


def test_extreme_words() -> None:
    """No key is known that gives them, so that the words are put in the generator's place; the loop
    is compiled as it always is."""
    turns = [sign * 2**30 + step for sign in range(1, 4) for step in (-1, 0, 1)]
    small = [0, 1, 2, 3, 127, 128, 255, 2**23, 2**24 - 1, 2**24 + 1]
    large = [2**32 - step for step in (257, 129, 128, 1)]
    ends = np.array([*small, *turns, *large], np.uint32)
    given = np.zeros(CHUNK, np.uint32)
    given[: len(ends) ** 2] = np.repeat(ends, len(ends))  # all pairs of radius and angle
    given[HALF : HALF + len(ends) ** 2] = np.tile(ends, len(ends))

    @njit
    def put(key: Any, chunk: Any, words: Any) -> None:
        words[:] = given

    plain = fill_normals.py_func  # type: ignore[attr-defined]
    code = types.FunctionType(plain.__code__, {**vars(philox), "fill_words": put})
    with_these = njit(error_model="numpy", fastmath={"contract"})(code)
    normals = np.full(CHUNK, np.nan, np.float32)
    with_these(np.uint64(0), 0, np.empty(CHUNK, np.uint32), normals)

    assert np.isfinite(normals).all()
    radius, cos, sin = box_muller(given)
    np.testing.assert_allclose(normals, np.concatenate([radius * cos, radius * sin]), atol=2e-6)
    # The largest radius of all, √(2·32·ln 2), and the smallest one.
    reached = np.hypot(normals[:HALF], normals[HALF:])
    assert reached.max() == pytest.approx(6.66, abs=0.01)
    assert reached.min() == 0


@pytest.mark.parametrize("key", [3, 2**63 + 11, 987_654_321])
def test_normals_are_normal(key: int) -> None:
    """262,144 of them; halves of the chunks come from cosines and sines."""
    normals = normals_of(key, 64)
    for some in (normals, normals[:, :HALF], normals[:, HALF:]):
        assert stats.kstest(some.ravel(), "norm").pvalue > 0.01
    cosines, sines = normals[:, :HALF].ravel(), normals[:, HALF:].ravel()
    for a, b in ((cosines, sines), (cosines**2, sines**2)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(len(a))


def test_moments_and_tails() -> None:
    """Over 16 million: the tails hold 109 that are further out than 4.5."""
    count, moments, far = 0, np.zeros(4), np.zeros(3)
    limits = (3.0, 4.0, 4.5)
    for part in range(16):
        normals = normals_of(17, 256, first=256 * part).ravel().astype(float)
        count += len(normals)
        square = normals * normals
        moments += [
            normals.sum(),
            square.sum(),
            (square * normals).sum(),
            (square * square).sum(),
        ]
        far += [np.count_nonzero(square > limit * limit) for limit in limits]
    mean, second, third, fourth = moments / count
    assert count >= 2_000_000
    assert abs(mean) < 4 / math.sqrt(count)
    assert abs(second - 1) < 4 * math.sqrt(2 / count)
    assert abs(third) < 4 * math.sqrt(15 / count)
    assert abs(fourth / second**2 - 3) < 0.01
    for found, limit in zip(far, limits, strict=True):
        expected = count * math.erfc(limit / math.sqrt(2))
        assert abs(found - expected) < 4 * math.sqrt(expected), limit


def test_chunks_and_keys_are_streams_of_their_own() -> None:
    chunks = [words_of(key, chunk) for key in KEYS for chunk in CHUNKS]
    assert len({words.tobytes() for words in chunks}) == len(chunks)
    for other in chunks[1:]:
        assert np.count_nonzero(other == chunks[0]) <= 1
