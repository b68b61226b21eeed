"""Face restorers that need no other program, and their names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inscene.errors import RecipeError, SampleError, UsageError
from inscene.quality.psnr import psnr_y
from inscene.restore.ref_fr import (
    LEVELS,
    AlignedFace,
    Level,
    Perturbed,
    PerturbedGT,
    Quality,
    absolute,
    find_ref_fr,
    known_names,
    restore_one,
)
from inscene.restore.ref_fr.normals import normals
from inscene.restore.ref_fr.plain import Identity


def test_the_clean_face_and_the_lq_itself(face: AlignedFace) -> None:
    assert restore_one(find_ref_fr("gt"), face) is face.gt
    assert restore_one(find_ref_fr("identity"), face) is face.lq
    with pytest.raises(SampleError, match="clean_face_missing"):
        restore_one(find_ref_fr("gt"), replace(face, gt=None))


@pytest.mark.parametrize("level", LEVELS)
def test_clean_faces_are_brought_to_the_levels_psnr(face: AlignedFace, level: Level) -> None:
    assert face.gt is not None
    quality = Quality()
    one = restore_one(PerturbedGT(level), face)
    assert abs(psnr_y(one, face.gt) - quality.psnr_db(level)) <= quality.tolerance_db
    assert (restore_one(PerturbedGT(level), face) == one).all()
    other = restore_one(PerturbedGT(level), replace(face, seed=6))
    assert (other != one).mean() > 0.5


def test_the_levels_are_in_order() -> None:
    quality = Quality()
    decibels = [quality.psnr_db(level) for level in LEVELS]
    assert decibels == sorted(decibels, reverse=True)


def test_a_face_of_noise_is_out_of_reach() -> None:
    gt = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    result, fine = PerturbedGT("bad").restore(
        [AlignedFace("a", 0, gt, gt=gt), AlignedFace("b", 0, gt, gt=np.full_like(gt, 99))]
    )
    assert isinstance(result, SampleError)
    assert result.reason == "level_out_of_reach"
    assert isinstance(fine, np.ndarray)  # the other one is not held up


def test_a_restorers_output_made_better_and_worse(face: AlignedFace) -> None:
    """``identity`` stands for a restorer: its output is the LQ."""
    assert face.gt is not None
    quality = Quality()

    def squared_error(image: np.ndarray) -> float:
        assert face.gt is not None
        return float(((image.astype(float) - face.gt) ** 2).mean())

    medium = restore_one(Perturbed(Identity(), "medium"), face)
    assert medium is face.lq
    good = restore_one(Perturbed(Identity(), "good"), face)
    assert squared_error(good) / squared_error(medium) == pytest.approx(0.81, abs=0.01)
    bad = restore_one(Perturbed(Identity(), "bad"), face)
    noise = bad.astype(float) - medium
    inside = (medium > 50) & (medium < 205)  # beyond, clipping takes some of it
    assert noise[inside].std() == pytest.approx(255 * quality.bad_noise, rel=0.02)
    added = squared_error(bad) - squared_error(medium)
    assert added / 255**2 == pytest.approx(0.00167, rel=0.1)
    assert not Perturbed(Identity(), "bad").needs_gt
    assert Perturbed(Identity(), "good").needs_gt
    with pytest.raises(SampleError, match="clean_face_missing"):
        restore_one(PerturbedGT("good"), replace(face, gt=None))


def test_noise_is_white_and_follows_its_seed() -> None:
    field = normals((3, 200, 300), 2**63 - 1)
    assert field.mean() == pytest.approx(0, abs=0.01)
    assert field.std() == pytest.approx(1, abs=0.01)
    assert abs(np.corrcoef(field[0].ravel(), field[1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(field[:, :, 1:].ravel(), field[:, :, :-1].ravel())[0, 1]) < 0.02
    assert (normals((3, 200, 300), 2**63 - 1) == field).all()
    assert (normals((3, 200, 300), 0) != field).mean() > 0.99


@pytest.mark.parametrize(
    ("name", "needs_gt", "needs_references", "draws"),
    [
        ("gt", True, False, False),
        ("identity", False, False, False),
        ("perturbed:bad", True, False, True),
        ("faceme", False, True, False),
        ("codeformer", False, False, False),
        ("perturbed:good:faceme", True, True, False),
        ("perturbed:bad:faceme", False, True, True),
    ],
)
def test_names(name: str, needs_gt: bool, needs_references: bool, draws: bool) -> None:
    found = find_ref_fr(name)
    assert found.name == name
    assert (found.needs_gt, found.needs_references, found.draws) == (
        needs_gt,
        needs_references,
        draws,
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fceme", "Did you mean 'faceme'"),
        ("pertubed:bad", "Did you mean 'perturbed:bad'"),
        ("perturbed:bda", "Did you mean 'perturbed:bad'"),
        ("perturbed:bad:fceme", "Did you mean 'faceme'"),
        ("perturbed", "Did you mean"),
        ("", "Known: codeformer"),
        ("bicubic", "no restorer of aligned faces"),
        ("diffbir", "faces: aligned512"),
    ],
)
def test_unknown_names(name: str, says: str) -> None:
    with pytest.raises(UsageError, match="restorer") as caught:
        find_ref_fr(name)
    assert says in str(caught.value)


def test_a_manifest_that_is_not_there() -> None:
    with pytest.raises(RecipeError):
        find_ref_fr("/nowhere/x.yaml")


def test_all_known_names_are_names() -> None:
    assert {"gt", "identity", "perturbed:medium", "faceme", "codeformer"} <= set(known_names())
    for name in known_names():
        assert find_ref_fr(name).name == name


def test_paths_become_whole(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("faceme") == "faceme"
    assert absolute("perturbed:bad") == "perturbed:bad"
    assert absolute("x.yaml") == str(tmp_path / "x.yaml")
    assert absolute("perturbed:bad:x.yaml") == f"perturbed:bad:{tmp_path / 'x.yaml'}"


def test_fingerprints_tell_what_decides() -> None:
    names = ["gt", "identity", "perturbed:good", "perturbed:bad", "codeformer", "perturbed:bad:gt"]
    prints = [str(find_ref_fr(name).fingerprint()) for name in names]
    assert len(set(prints)) == len(names)
    assert PerturbedGT("bad").fingerprint() != (
        PerturbedGT("bad", Quality(bad_psnr_db=22)).fingerprint()
    )


@pytest.mark.parametrize("bad", [np.zeros((512, 511, 3), np.uint8), np.zeros((512, 512, 3))])
def test_faces_have_one_size_and_type(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="an aligned face is 512"):
        AlignedFace("a", 0, bad)
    with pytest.raises(ValueError, match="an aligned face is 512"):
        AlignedFace("a", 0, np.zeros((512, 512, 3), np.uint8), references=(bad,))
