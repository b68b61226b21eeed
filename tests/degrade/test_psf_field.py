"""Imported PSF fields: what is taken and refused, and what an operator makes of them."""

from __future__ import annotations

import copy
import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.degrade import Operator, PsfField, degrade, make_record, replay
from inscene.degrade import psf_field as psf_field_module
from inscene.degrade.apply import enlarge
from inscene.degrade.arrays import ByteImage
from inscene.degrade.psf_field import matching
from inscene.degrade.varying import blur_varying
from inscene.errors import UsageError, VerificationError


def random_psf(seed: int = 0, grid: int = 3, size: int = 5) -> Any:
    return np.random.default_rng(seed).random((grid, grid, size, size)) + 0.01


def saved(folder: Path, **arrays: Any) -> Path:
    file = folder / "field.npz"
    np.savez(file, **arrays)
    return file


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_good_file(tmp_path: Path, dtype: Any, write: Callable[..., None]) -> None:
    psf = random_psf().astype(dtype)
    file = tmp_path / "field.npz"
    write(file, psf=psf, wavelength=np.array([550.0]))
    loaded = PsfField.load(file)
    assert loaded.psf.dtype == np.float32
    np.testing.assert_allclose(loaded.psf.sum(axis=(2, 3), dtype=float), 1, atol=1e-6)
    whole = psf.astype(float)
    expected = whole / whole.sum(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(loaded.psf, expected, atol=1e-6)
    assert PsfField.load(str(file)).sha256 == loaded.sha256


def bad_arrays() -> dict[str, tuple[Any, str]]:
    with_nan, with_inf, dark = random_psf(), random_psf(), random_psf()
    with_nan[1, 1, 0, 0], with_inf[0, 2, 3, 3], dark[2, 0] = np.nan, -np.inf, 0
    negative = random_psf()
    negative[0, 0] *= -1
    return {
        "not square nodes": (np.ones((3, 4, 5, 5)), "G × G × k × k"),
        "not square kernels": (np.ones((3, 3, 5, 7)), "G × G × k × k"),
        "even kernels": (np.ones((3, 3, 4, 4)), "odd k"),
        "one node": (np.ones((1, 1, 5, 5)), "2 to 64 nodes"),
        "too many nodes": (np.ones((65, 65, 1, 1)), "2 to 64 nodes"),
        "too large kernels": (np.ones((2, 2, 103, 103)), "at most 101"),
        "empty kernels": (np.ones((2, 2, 0, 0)), "odd k"),
        "three axes": (np.ones((3, 3, 5)), "shape"),
        "five axes": (np.ones((3, 3, 5, 5, 3)), "shape"),
        "a number": (np.float64(1), "shape"),
        "nan": (with_nan, "finite floats"),
        "infinity": (with_inf, "finite floats"),
        "integers": (np.ones((3, 3, 5, 5), int), "finite floats"),
        "complex": (np.ones((3, 3, 5, 5), complex), "finite floats"),
        "words": (np.full((3, 3, 5, 5), "1"), "finite floats"),
        "black": (dark, "sum is near 0 or negative"),
        "negative": (negative, "sum is near 0 or negative"),
    }


@pytest.mark.parametrize("name", bad_arrays())
def test_bad_arrays_are_refused_with_the_file(tmp_path: Path, name: str) -> None:
    psf, words = bad_arrays()[name]
    with pytest.raises(UsageError, match=words) as caught:
        PsfField.load(saved(tmp_path, psf=psf))
    assert "field.npz" in str(caught.value)
    with pytest.raises(UsageError, match=words):
        PsfField(psf)


class Harmful:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (Path.touch, (self.trace,))


def test_pickled_objects_are_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    objects = np.array([Harmful(trace)], dtype=object)
    with pytest.raises(UsageError, match="cannot be read as a PSF field"):
        PsfField.load(saved(tmp_path, psf=objects))
    bare = tmp_path / "bare.npz"
    bare.write_bytes(pickle.dumps(Harmful(trace)))
    with pytest.raises(UsageError, match="cannot be read as a PSF field"):
        PsfField.load(bare)
    assert not trace.exists()


@pytest.mark.parametrize("arrays", [{}, {"kernels": np.ones(3)}, {"PSF": random_psf()}])
def test_another_name_is_told(tmp_path: Path, arrays: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"no array 'psf'.*numpy\.savez") as caught:
        PsfField.load(saved(tmp_path, **arrays))
    assert all(repr(name) in str(caught.value) for name in arrays)


def test_what_is_no_archive(tmp_path: Path) -> None:
    good = saved(tmp_path, psf=random_psf()).read_bytes()
    file = tmp_path / "bad.npz"
    for content in (b"", b"PK", b"no zip at all" * 20, good[: len(good) // 2], good[40:-100]):
        file.write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read as a PSF field") as caught:
            PsfField.load(file)
        assert "bad.npz" in str(caught.value)
    np.save(tmp_path / "bare.npy", random_psf())  # NumPy would load it, but there is no name in it
    for missing in (tmp_path / "bare.npy", tmp_path / "absent.npz", tmp_path):
        with pytest.raises(UsageError, match="cannot be read as a PSF field"):
            PsfField.load(missing)


def loaded_or_refused(file: Path) -> PsfField | None:
    with warnings.catch_warnings(action="ignore"):  # zipfile's, of odd names
        try:
            return PsfField.load(file)
        except UsageError:
            return None


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_damage_is_told(tmp_path: Path, write: Callable[..., None]) -> None:
    """Whichever byte of an archive is another: it is refused, or what is read is the field (names
    and times of the archive's own may change unseen)."""
    psf = random_psf(grid=2, size=3)
    whole, file = PsfField(psf).sha256, tmp_path / "bad.npz"
    write(tmp_path / "good.npz", psf=psf)
    good, refused = (tmp_path / "good.npz").read_bytes(), 0
    for place in range(len(good)):
        for flipped in (0xFF, 0x01):
            file.write_bytes(good[:place] + bytes([good[place] ^ flipped]) + good[place + 1 :])
            loaded = loaded_or_refused(file)
            refused += loaded is None
            assert loaded is None or loaded.sha256 == whole
    assert refused > len(good)


def test_what_would_fill_the_memory_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = saved(tmp_path, psf=random_psf(grid=10, size=21))
    monkeypatch.setattr(psf_field_module, "MAX_BYTES", 2**18)

    def unpacks(*_: object, **__: object) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(np, "load", unpacks)
    with pytest.raises(UsageError, match="too large for a PSF field") as caught:
        PsfField.load(large)
    assert "field.npz" in str(caught.value)


def test_an_array_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    """The header of the array says 3 TB; the file has a hundred bytes."""
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (64, 64, 14001, 14001)}
    np.lib.format.write_array_header_1_0(header, shape)
    file = tmp_path / "claims.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("psf.npy", header.getvalue())
    with pytest.raises(UsageError):
        PsfField.load(file)


# --- the value --------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    seed=st.integers(0, 2**30),
    grid=st.integers(2, 5),
    half=st.integers(0, 6),
    brightness=st.sampled_from([1e-20, 1e-3, 1.0, 255.0, 1e20]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_json_round_trip_keeps_the_hash(
    seed: int, grid: int, half: int, brightness: float, dtype: Any
) -> None:
    """It names the field in operators and in the recipe: normalising twice must change nothing."""
    made = PsfField((random_psf(seed, grid, 2 * half + 1) * brightness).astype(dtype))
    data = json.loads(json.dumps(made.to_dict()))
    again = PsfField.from_dict(data)
    assert again.sha256 == made.sha256 == data["sha256"]
    np.testing.assert_array_equal(again.psf, made.psf)
    assert PsfField(made.psf).sha256 == made.sha256
    assert again.blur == made.blur


def test_json_round_trip_keeps_the_hash_of_kernels_with_negative_lobes() -> None:
    """Their numbers are larger than their sum, and so is what rounding to float32 does to it: such
    a field is refused, or it is the same after a round trip."""
    taken = 0
    for seed in range(400):
        psf = np.random.default_rng(seed).normal(0, 1, (2, 2, 7, 7))
        left = (0.001, 0.01, 0.1, 0.2, 0.5)[seed % 5] * np.abs(psf).sum(axis=(2, 3))
        psf[:, :, 3, 3] += left - psf.sum(axis=(2, 3))
        try:
            made = PsfField(psf)
        except UsageError:
            continue
        taken += 1
        assert PsfField.from_dict(made.to_dict()).sha256 == made.sha256, seed
    assert taken > 100


def test_kernels_that_all_but_cancel_are_refused() -> None:
    """Divided by their sum they would leave float32."""
    psf = np.zeros((2, 2, 3, 3), np.float32)
    psf[..., 0, 0], psf[..., 0, 1], psf[..., 1, 1] = 1e30, -1e30, 1e-9
    with pytest.raises(UsageError):
        PsfField(psf)


def test_the_hash_is_of_shape_and_numbers() -> None:
    psf = random_psf()
    changed = psf.copy()
    changed[0, 0, 0, 0] *= 1.001
    fields = [
        PsfField(psf),
        PsfField(changed),
        PsfField(psf[::-1]),
        PsfField(np.ones((2, 2, 9, 9))),
        PsfField(np.ones((6, 6, 3, 3))),
    ]
    assert len({made.sha256 for made in fields}) == 5
    # A power of two brighter, or laid out otherwise, is the same field.
    for same in (psf * 4, np.asfortranarray(psf), psf.astype(">f8")):
        assert PsfField(same).sha256 == fields[0].sha256


def test_it_cannot_be_changed() -> None:
    psf = random_psf().astype(np.float32)
    psf /= psf.sum(axis=(2, 3), keepdims=True)  # nothing is left to be normalised
    made = PsfField(psf)
    before = made.sha256
    with pytest.raises(ValueError, match="read-only"):
        made.psf[0, 0, 0, 0] = 1
    with pytest.raises(AttributeError):
        made.psf = psf  # type: ignore[misc]
    psf[...] = 1  # the caller's array is the caller's
    assert PsfField(made.psf).sha256 == before


def test_copies_are_equal_and_stay_so() -> None:
    made = PsfField(random_psf())
    for other in (
        pickle.loads(pickle.dumps(made)),
        copy.copy(made),
        copy.deepcopy(made),
    ):
        assert other.sha256 == made.sha256
        np.testing.assert_array_equal(other.psf, made.psf)
    # Before the hash was ever asked for, too.
    fresh = PsfField(random_psf())
    assert pickle.loads(pickle.dumps(fresh)).sha256 == made.sha256


# --- in an operator ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def field() -> PsfField:
    return PsfField(random_psf(7, 4, 9))


@pytest.fixture
def operator(field: PsfField, draw: Callable[..., Operator]) -> Operator:
    drawn = draw("realesrgan", 4, varying_blur=field.blur)
    assert drawn.first.blur == field.blur
    return drawn


def test_an_operator_needs_its_field(
    operator: Operator, field: PsfField, small_photo: ByteImage
) -> None:
    another = PsfField(random_psf(8, 4, 9))
    with pytest.raises(UsageError, match="needs a PSF field") as caught:
        degrade(small_photo, operator, 0)
    assert field.sha256 in str(caught.value)
    with pytest.raises(UsageError, match="another PSF field") as caught:
        degrade(small_photo, operator, 0, another)
    assert field.sha256 in str(caught.value)
    assert matching(field, field.blur) is field
    lq = degrade(small_photo, operator, 0, field)
    equal = PsfField.from_dict(field.to_dict())
    np.testing.assert_array_equal(degrade(small_photo, operator, 0, equal), lq)


def test_a_field_is_ignored_by_other_operators(
    field: PsfField, small_photo: ByteImage, draw: Callable[..., Operator]
) -> None:
    plain = draw("realesrgan", 4)
    np.testing.assert_array_equal(
        degrade(small_photo, plain, 0, field), degrade(small_photo, plain, 0)
    )


def test_operators_name_their_field(operator: Operator, field: PsfField) -> None:
    assert Operator.from_json(operator.to_json()) == operator
    data = operator.to_dict()
    assert data["first"]["blur"] == {"family": "field", "sha256": field.sha256}
    data["first"]["blur"]["sha256"] = PsfField(random_psf(8)).sha256
    assert Operator.from_dict(data).operator_id != operator.operator_id
    data["first"]["blur"]["sha256"] = "x" * 64
    with pytest.raises(UsageError, match=r"first\.blur\.sha256"):
        Operator.from_dict(data)


@pytest.mark.parametrize("out", ["lq", "gt"])
def test_replay(operator: Operator, field: PsfField, small_photo: ByteImage, out: Any) -> None:
    lq = degrade(small_photo, operator, 3, field)
    if out == "gt":
        lq = enlarge(lq, small_photo.shape[:2])
    record = make_record(
        lq,
        operator,
        gt_size=small_photo.shape[:2],
        profile="realesrgan",
        image_key="k",
        version=0,
        noise_seed=3,
        out=out,
        psf_field=field,
    )
    record = json.loads(json.dumps(record))
    kept = PsfField.from_dict(json.loads(json.dumps(field.to_dict())))
    np.testing.assert_array_equal(replay(small_photo, record, kept), lq)
    with pytest.raises(UsageError, match="needs a PSF field"):
        replay(small_photo, record)
    with pytest.raises(UsageError, match="another PSF field"):
        replay(small_photo, record, PsfField(random_psf(8)))
    with pytest.raises(VerificationError):
        replay(small_photo[::-1], record, field)
    where = record["effective"]["first"]["blur_sigma_at"]
    assert len(where["corners"]) == 4
    assert all(sigma > 1 for sigma in (where["centre"], *where["corners"]))


def test_the_first_row_of_nodes_is_the_top_one() -> None:
    """And the first column the left one; kernels are correlated: a weight above the middle brings
    the pixel from above."""
    psf = np.zeros((2, 2, 3, 3))
    psf[0, 0, 1, 1] = psf[1, 1, 1, 1] = 1  # left alone at the top left, and at the bottom right
    psf[0, 1, 0, 1] = 1  # top right: from above
    psf[1, 0, 1, 2] = 1  # bottom left: from the right
    made = PsfField(psf)
    image = np.random.default_rng(0).random((3, 801, 801), np.float32)
    blurred = blur_varying(image, made.psf)
    near = {"rtol": 0, "atol": 0.02}  # the next node counts for 1/801 here
    np.testing.assert_allclose(blurred[:, 0:5, 0:5], image[:, 0:5, 0:5], **near)
    np.testing.assert_allclose(blurred[:, 1:5, -5:], image[:, 0:4, -5:], **near)
    np.testing.assert_allclose(blurred[:, -5:, 0:5], image[:, -5:, 1:6], **near)
    np.testing.assert_allclose(blurred[:, -5:, -5:], image[:, -5:, -5:], **near)
