"""Face restorers that are other programs, and the cache of what they have made."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inscene.errors import MachineError, SampleError
from inscene.restore.ref_fr import (
    AlignedFace,
    Cached,
    PerturbedGT,
    cache_folder,
    find_ref_fr,
    restore_one,
)


def cached_files() -> list[Path]:
    return [path for path in cache_folder().rglob("*") if path.is_file()]


def other(face: AlignedFace, value: int) -> AlignedFace:
    return replace(face, lq=np.full_like(face.lq, value), id=f"face {value}")


def test_a_folder_of_faces_is_one_run_and_then_none(program, face: AlignedFace) -> None:
    faces = [face, other(face, 10), other(face, 20)]
    name = program.write()
    outputs = find_ref_fr(name).restore(faces)
    for output, one in zip(outputs, faces, strict=True):
        assert (output == 255 - one.lq).all()
    assert program.runs == [0]
    # In another process, say: nothing is remembered but what is on disk. One face is new.
    mixed = [faces[2], other(face, 30), faces[0]]
    for output, one in zip(find_ref_fr(name).restore(mixed), mixed, strict=True):
        assert (output == 255 - one.lq).all()
    assert program.runs == [0, 0]
    assert len(cached_files()) == 4


def test_references_reach_it_and_are_part_of_the_key(program, face: AlignedFace) -> None:
    ref_fr = find_ref_fr(program.write(references=True))
    a, b = (np.full_like(face.lq, value) for value in (1, 2))
    assert ref_fr.needs_references
    for references in ((a, b), (b, a), (a,)):  # their order does not matter
        restore_one(ref_fr, replace(face, references=references))
    assert program.runs == [2, 1]
    with pytest.raises(SampleError, match="references_missing"):
        restore_one(ref_fr, face)


def test_what_is_not_looked_at_is_not_part_of_the_key(program, face: AlignedFace) -> None:
    ref_fr = find_ref_fr(program.write())
    restore_one(ref_fr, face)
    same = replace(face, id="b", version=3, gt=None, seed=77, references=(face.lq,))
    restore_one(ref_fr, same)
    assert len(program.runs) == 1


def test_the_key_follows_what_decides(face: AlignedFace, tmp_path: Path) -> None:
    cached = Cached(PerturbedGT("bad"), tmp_path)
    assert face.gt is not None
    faces = [face, replace(face, seed=6), replace(face, lq=face.gt), replace(face, gt=face.lq)]
    keys = {cached.key(one) for one in faces}
    keys.add(Cached(PerturbedGT("good"), tmp_path).key(face))
    assert len(keys) == 5


def test_a_program_that_changed_is_asked_again(program, face: AlignedFace) -> None:
    restore_one(find_ref_fr(program.write()), face)
    restore_one(find_ref_fr(program.write(timeout_s=50)), face)  # decides nothing
    assert len(program.runs) == 1
    restore_one(find_ref_fr(program.write(seed=4)), face)
    assert len(program.runs) == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "another size"])
def test_a_damaged_entry_is_made_again(program, face: AlignedFace, damage: str) -> None:
    ref_fr = find_ref_fr(program.write())
    restore_one(ref_fr, face)
    (file,) = cached_files()
    data = bytearray(file.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flip":
        data[len(data) // 2] ^= 1
    elif damage == "empty":
        data = bytearray()
    elif damage == "text":
        data = bytearray(b"no image")
    else:
        from inscene import images

        data = bytearray(images.encode_png(np.zeros((5, 5, 3), np.uint8)))
    file.write_bytes(data)
    assert (restore_one(ref_fr, face) == 255 - face.lq).all()
    assert len(program.runs) == 2
    restore_one(ref_fr, face)
    assert len(program.runs) == 2  # and mended


def test_workers_at_the_same_face(face: AlignedFace, tmp_path: Path) -> None:
    expected = restore_one(PerturbedGT("bad"), face)

    def work(_: int) -> bool:
        return bool((restore_one(Cached(PerturbedGT("bad"), tmp_path), face) == expected).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".png"]
    assert not list(tmp_path.rglob(".new-*"))


def test_without_a_folder_it_works_all_the_same(face: AlignedFace, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    cached = Cached(PerturbedGT("bad"), blocked / "cache")
    assert (restore_one(cached, face) == restore_one(PerturbedGT("bad"), face)).all()


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("INSCENE_REF_FR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "inscene" / "ref-fr"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "inscene" / "ref-fr"


def test_failures_are_not_remembered(program, face: AlignedFace) -> None:
    crash = "if image.getpixel((0, 0)) == (10, 10, 10): sys.exit('no')\nimage.save(target)"
    ref_fr = find_ref_fr(program.write(crash))
    good, bad = ref_fr.restore([face, other(face, 10)])
    assert isinstance(good, np.ndarray)
    assert isinstance(bad, SampleError)
    assert bad.reason == "method_crashed"
    assert len(cached_files()) == 1
    before = len(program.runs)
    assert isinstance(ref_fr.restore([other(face, 10)])[0], SampleError)
    assert len(program.runs) == before + 1


def test_a_wrong_size_is_refused(program, face: AlignedFace) -> None:
    ref_fr = find_ref_fr(program.write("image.resize((256, 256)).save(target)"))
    with pytest.raises(SampleError, match="wrong_output_size: 256x256, not 512x512"):
        restore_one(ref_fr, face)
    assert cached_files() == []


def test_perturbing_it_does_not_run_it_again(program, face: AlignedFace) -> None:
    name = program.write()
    restore_one(find_ref_fr(name), face)
    good = restore_one(find_ref_fr(f"perturbed:good:{name}"), face)
    bad = restore_one(find_ref_fr(f"perturbed:bad:{name}"), face)
    assert face.gt is not None
    expected = np.rint(0.9 * (255.0 - face.lq) + 0.1 * face.gt)
    assert np.abs(good - expected).max() <= 1
    assert (bad != 255 - face.lq).mean() > 0.5
    assert len(program.runs) == 1
    assert len(cached_files()) == 1


@pytest.mark.parametrize("lacks", ["checkout", "python", "weights"])
def test_what_the_machine_lacks(program, face: AlignedFace, lacks: str) -> None:
    changes: dict[str, object] = {
        "checkout": {"checkout": "elsewhere"},
        "python": {"python": "{checkout}/env/bin/python"},
        "weights": {"weights": [{"path": "net.pth", "from": "a friend"}]},
    }[lacks]  # type: ignore[assignment]
    ref_fr = find_ref_fr(program.write(**changes))
    says = {"checkout": "git clone", "python": "No interpreter", "weights": "net.pth"}[lacks]
    assert says in " ".join(ref_fr.missing())
    with pytest.raises(MachineError, match="cannot run here") as caught:
        restore_one(ref_fr, face)
    assert says in str(caught.value)


def test_a_manifest_for_scenes_is_none_for_faces(program) -> None:
    from inscene.errors import UsageError

    with pytest.raises(UsageError, match="no restorer of aligned faces"):
        find_ref_fr(program.write(faces=None))


def test_its_log_is_where_the_others_are(program, face: AlignedFace, tmp_path: Path) -> None:
    restore_one(find_ref_fr(program.write()), face)
    assert len(os.listdir(tmp_path / "methods" / "_logs" / "inverter")) == 1
