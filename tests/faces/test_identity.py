"""Cosines, with what there is to compare with."""

from __future__ import annotations

import numpy as np
import pytest

from inscene.faces.identity import IdentityScore, score_identity


def units(*degrees: float) -> np.ndarray:
    """In the plane, at these angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_cosines_of_known_angles() -> None:
    (face,), (reference,) = units(0), units(60)
    score = score_identity(face, conditioning=reference, gallery=units(0, 90, 180))
    assert score.conditioning == pytest.approx(0.5)
    assert score.gallery_mean == pytest.approx(0, abs=1e-7)
    assert score.gallery_max == pytest.approx(1)


def test_the_mean_is_of_the_cosines() -> None:
    """The cosine with the mean of the gallery would be 1."""
    (face,) = units(0)
    assert score_identity(face, gallery=units(60, -60)).gallery_mean == pytest.approx(0.5)


def test_what_is_not_there_has_no_score() -> None:
    (face,) = units(0)
    nothing = IdentityScore(None, None, None)
    assert score_identity(face) == nothing
    assert score_identity(face, gallery=np.empty((0, 2), np.float32)) == nothing


def test_a_cosine_is_at_most_one() -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 512)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for row in rows[:50]:
        score = score_identity(row, conditioning=row, gallery=rows)
        assert score.conditioning == pytest.approx(1)
        assert score.conditioning is not None
        assert score.conditioning <= 1
        assert score.gallery_max == pytest.approx(1)
        assert score.gallery_max is not None
        assert score.gallery_max <= 1
