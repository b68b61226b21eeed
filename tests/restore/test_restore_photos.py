"""Image files that become restored ones: names, records, resuming and what goes wrong. The methods
here are quick ones; ``test_face2scene_method.py`` has the model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic_photos import synthetic_photo

from inscene.bench.methods import Method, Output, Sample
from inscene.dataset.sources import Input
from inscene.errors import SampleError, UsageError
from inscene.restore.photos import (
    GAP_PX,
    RECORD,
    PhotoRun,
    Restored,
    comparison_name,
    inputs_beside,
    output_names,
    restore_photos,
)


class Inverter(Method):
    """Counts what it is given; ``version`` is what decides its output."""

    name = "inverter"
    uses_references = True

    def __init__(self, version: int = 1, stop_at: str = "") -> None:
        self.version, self.stop_at = version, stop_at
        self.seen: list[Sample] = []

    def restore(self, sample: Sample) -> np.ndarray:
        return self.output(sample).image

    def _one(self, sample: Sample) -> Output | SampleError:
        return self.output(sample)

    def output(self, sample: Sample) -> Output:
        if sample.id == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(sample)
        image = np.asarray(Image.fromarray(255 - sample.lq).resize(sample.size, 0))
        return Output(image, ("odd",) if sample.lq.shape[0] % 2 else (), {"invert": 0.25})

    def fingerprint(self) -> dict[str, Any]:
        return {"inverter": self.version}

    @property
    def ids(self) -> list[str]:
        return [sample.id for sample in self.seen]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for index, name in enumerate(("a.jpg", "b.png", "sub/c.webp")):
        synthetic_photo(index, 40 + index, 30 + index).save(folder / name)
    return folder


Restore = Callable[..., Restored]


@pytest.fixture
def restore(photos: Path, tmp_path: Path) -> Restore:
    def run(
        method: Method, source: Path | None = None, out: Path | None = None, **how: Any
    ) -> Restored:
        place = str(out or tmp_path / "out")
        inputs = tuple(inputs_beside(str(source or photos), place))
        return restore_photos(PhotoRun(inputs, method, place, **how))

    return run


def lines(out: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in (out / RECORD).read_text().splitlines()]
    return {line["input"]: line for line in found}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def test_each_becomes_a_file_and_a_line(restore: Restore, photos: Path, tmp_path: Path) -> None:
    result = restore(Inverter())
    out = tmp_path / "out"
    assert files(out) == {"a.png", "b.png", "sub/c.png", RECORD}
    assert (result.inputs, result.kept, result.errors, result.notes) == (3, 3, {}, {"odd": 1})
    assert (pixels(out / "b.png") == 255 - pixels(photos / "b.png")).all()
    line = lines(out)["sub/c.webp"]
    assert (line["output"], line["notes"], line["restore_s"]) == ("sub/c.png", [], 0.25)
    assert line["stage_s"] == {"invert": 0.25}


def test_one_image_alone(restore: Restore, photos: Path, tmp_path: Path) -> None:
    restore(Inverter(), photos / "sub/c.webp")
    assert files(tmp_path / "out") == {"c.png", RECORD}


def test_it_stands_upright_and_tells_nothing(restore: Restore, tmp_path: Path) -> None:
    source = tmp_path / "phone"
    source.mkdir()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A phone"  # lying; its maker
    exif.get_ifd(0x8825)[1] = "N"
    synthetic_photo(1, 40, 20).save(source / "p.jpg", exif=exif, quality=95)
    method = Inverter()
    restore(method, source)
    assert method.seen[0].lq.shape == (40, 20, 3)
    with Image.open(tmp_path / "out/p.png") as image:
        assert image.size == (20, 40)
        assert not image.getexif()
        assert not image.info
    assert b"phone" not in (tmp_path / "out/p.png").read_bytes()


def test_upscale_and_side_by_side(restore: Restore, photos: Path, tmp_path: Path) -> None:
    restore(Inverter(), photos / "b.png", upscale=4, side_by_side=True)
    restored = pixels(tmp_path / "out/b.png")
    assert restored.shape == (124, 164, 3)
    both = pixels(tmp_path / "out/b.compare.png")
    assert both.shape == (124, 2 * 164 + GAP_PX, 3)
    assert (both[:, -164:] == restored).all()
    assert (both[:, 164:-164] == 255).all()
    lq = pixels(photos / "b.png").astype(float)
    small = both[:, :164].reshape(31, 4, 41, 4, 3).mean((1, 3))
    assert np.abs(small - lq)[2:-2, 2:-2].mean() < 3


def test_nothing_is_restored_twice(restore: Restore, photos: Path, tmp_path: Path) -> None:
    restore(Inverter())
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in ("a.png", "b.png")}
    again = Inverter()
    result = restore(again)
    assert again.seen == []
    assert (result.kept, result.already, result.notes) == (3, 3, {"odd": 1})
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == at for name, at in before.items())


@pytest.mark.parametrize(
    ("change", "ids"),
    [
        ("photo", ["b.png"]),
        ("output", ["a.jpg"]),
        ("method", ["a.jpg", "b.png", "sub/c.webp"]),
        ("upscale", ["a.jpg", "b.png", "sub/c.webp"]),
        ("references", ["a.jpg", "b.png", "sub/c.webp"]),
        ("comparisons", ["a.jpg", "b.png", "sub/c.webp"]),
        ("again", ["a.jpg", "b.png", "sub/c.webp"]),
        ("record", ["a.jpg", "b.png"]),
    ],
)
def test_what_has_changed_is_restored_again(
    restore: Restore, photos: Path, tmp_path: Path, change: str, ids: list[str]
) -> None:
    restore(Inverter())
    how: dict[str, Any] = {}
    match change:
        case "photo":
            synthetic_photo(9, 41, 31).save(photos / "b.png")
        case "output":
            (tmp_path / "out/a.png").unlink()
        case "upscale":
            how["upscale"] = 2
        case "references":
            (tmp_path / "people").mkdir()
            synthetic_photo(5, 20, 20).save(tmp_path / "people/p.png")
            how["references"] = tmp_path / "people"
        case "comparisons":
            how["side_by_side"] = True
        case "again":
            how["again"] = True
        case "record":  # torn, as a disk that was full might leave it
            text = (tmp_path / "out" / RECORD).read_text().splitlines()
            torn = "\n".join([text[0][: len(text[0]) // 2], '{"input": 5}', "[1]", text[2]])
            (tmp_path / "out" / RECORD).write_text(torn)
    method = Inverter(2 if change == "method" else 1)
    result = restore(method, **how)
    assert method.ids == ids
    assert result.already == 3 - len(ids)


def test_a_changed_reference_counts_and_its_folder_does_not(
    restore: Restore, tmp_path: Path
) -> None:
    people = tmp_path / "people"
    people.mkdir()
    synthetic_photo(5, 20, 20).save(people / "p.png")
    restore(Inverter(), references=people)
    moved = people.rename(tmp_path / "moved")
    method = Inverter()
    restore(method, references=moved)
    assert method.seen == []
    synthetic_photo(6, 20, 20).save(moved / "p.png")
    restore(method, references=moved)
    assert len(method.seen) == 3


def test_references_by_folder_and_never_the_photo_itself(restore: Restore, tmp_path: Path) -> None:
    source, people = tmp_path / "album", tmp_path / "people"
    for person in ("anna", "bert"):
        (source / person).mkdir(parents=True)
        (people / person).mkdir(parents=True)
        for index in range(2):
            seed = 10 * len(person) + index + ord(person[0])
            synthetic_photo(seed, 24, 24).save(people / person / f"{index}.png")
    (source / "anna/x.png").write_bytes((people / "anna/0.png").read_bytes())
    synthetic_photo(77, 24, 24).save(source / "bert/y.png")
    synthetic_photo(78, 24, 24).save(source / "nobody.png")
    method = Inverter()
    restore(method, source, references=people)
    given = {sample.id: sample.references for sample in method.seen}
    assert {name: len(images) for name, images in given.items()} == {
        "anna/x.png": 1, "bert/y.png": 2, "nobody.png": 0
    }  # fmt: skip
    assert (given["anna/x.png"][0] == pixels(people / "anna/1.png")).all()


def test_a_broken_photo_fails_alone(restore: Restore, photos: Path, tmp_path: Path) -> None:
    whole = (photos / "a.jpg").read_bytes()
    (photos / "a.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.png").touch()
    result = restore(Inverter())
    assert (result.inputs, result.kept) == (4, 2)
    assert result.errors == {"image_truncated": 1, "empty_file": 1}
    assert lines(tmp_path / "out")["empty.png"]["error"] == "empty_file"
    (photos / "a.jpg").write_bytes(whole)
    method = Inverter()
    assert restore(method).errors == {"empty_file": 1}
    assert method.ids == ["a.jpg"]


def test_an_output_of_another_size_is_none(restore: Restore) -> None:
    class Halves(Inverter):
        def output(self, sample: Sample) -> Output:
            return Output(sample.lq[::2, ::2])

    assert restore(Halves()).errors == {"wrong_output_size": 3}


def test_an_interrupted_run_goes_on(restore: Restore, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        restore(Inverter(stop_at="b.png"))
    assert files(tmp_path / "out") == {"a.png", RECORD}
    assert set(lines(tmp_path / "out")) == {"a.jpg"}
    method = Inverter()
    assert restore(method).already == 1
    assert method.ids == ["b.png", "sub/c.webp"]


def test_the_record_is_there_before_the_first_photo(restore: Restore, tmp_path: Path) -> None:
    """A run that was killed outright is one of ours, whose outputs may be replaced."""

    class Dies(Inverter):
        def output(self, sample: Sample) -> Output:
            (tmp_path / "out/a.png").touch()
            assert (tmp_path / "out" / RECORD).is_file()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(Dies())
    assert restore(Inverter()).kept == 3


# Whose files are whose


def test_limit_changes_no_names(restore: Restore, photos: Path, tmp_path: Path) -> None:
    synthetic_photo(4, 20, 20).save(photos / "a.png")
    assert restore(Inverter(), limit=1).inputs == 1
    assert files(tmp_path / "out") == {"a.jpg.png", RECORD}
    assert restore(Inverter()).already == 1
    assert {"a.jpg.png", "a.png.png", "b.png"} <= files(tmp_path / "out")


def test_no_source_is_overwritten(restore: Restore, photos: Path) -> None:
    before = (photos / "b.png").read_bytes()
    for how in ({}, {"again": True}):
        with pytest.raises(UsageError, match="its own source"):
            restore(Inverter(), photos / "b.png", photos, **how)
    (photos / "link").symlink_to(photos)
    with pytest.raises(UsageError, match="its own source"):
        restore(Inverter(), photos / "b.png", photos / "link")
    with pytest.raises(UsageError, match="is both source and --out"):
        restore(Inverter(), photos, photos / "link")
    assert (photos / "b.png").read_bytes() == before


def test_no_file_of_others_is_overwritten(restore: Restore, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.png").write_text("mine")
    (out / "diary.txt").write_text("mine too")
    with pytest.raises(UsageError, match="no run of inscene restore wrote it"):
        restore(Inverter())
    assert files(out) == {"b.png", "diary.txt"}
    restore(Inverter(), again=True)
    assert pixels(out / "b.png").shape == (31, 41, 3)
    assert (out / "diary.txt").read_text() == "mine too"


def test_what_was_restored_is_no_photo_of_the_next_run(restore: Restore, photos: Path) -> None:
    out = photos / "restored"
    restore(Inverter(), photos, out)
    method = Inverter()
    assert restore(method, photos, out).inputs == 3
    assert method.seen == []


def entry(name: str) -> Input:
    return Input(name, None, f"/photos/{name}")


def test_names() -> None:
    def names(*inputs: str) -> list[str]:
        return output_names([entry(one) for one in inputs])

    assert names("a.jpg", "b/a.jpg", "x.y.tiff") == ["a.png", "b/a.png", "x.y.png"]
    assert names("a.jpg", "a.png") == ["a.jpg.png", "a.png.png"]
    assert names("A.jpg", "a.png") == ["A.jpg.png", "a.png.png"]
    assert names("a.compare.jpg", "a.jpg") == ["a.compare.jpg.png", "a.png"]
    assert names("a.jpg", "a.png", "a.png.webp") == ["a.jpg.png", "a.png_.png", "a.png.png"]


@given(
    st.sets(
        st.builds("".join, st.tuples(
            st.sampled_from(["a", "A", "a.png", "a.compare", "s/a", "a_"]),
            st.sampled_from([".jpg", ".png", ".webp", ".JPG"]),
        )),
        min_size=1,
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_two_files_have_one_name(inputs: set[str]) -> None:
    names = output_names([entry(one) for one in sorted(inputs)])
    written = [*names, *map(comparison_name, names)]
    assert len({name.casefold() for name in written}) == 2 * len(inputs)
    assert all(name.endswith(".png") for name in names)


def test_odd_names(restore: Restore, tmp_path: Path) -> None:
    source = tmp_path / "odd"
    source.mkdir()
    names = ["größe 大.png", "line\nbreak.png", "para\u2029graph.png", "next\x85line.png"]
    for name in names:
        synthetic_photo(0, 20, 20).save(source / name)
    synthetic_photo(0, 20, 20).save(os.fsdecode(os.fsencode(source) + b"/latin-\xe9.png"))
    assert restore(Inverter(), source).kept == 5
    again = Inverter()
    assert restore(again, source).already == 5
    assert files(tmp_path / "out") == {*names, "latin-\\xe9.png", RECORD}


def test_what_makes_no_sense(restore: Restore, tmp_path: Path) -> None:
    class Oracle(Inverter):
        sees_clean = True

    with pytest.raises(UsageError, match="--upscale begins at 1"):
        restore(Inverter(), upscale=0)
    with pytest.raises(UsageError, match="would look at clean images"):
        restore(Oracle())
    with pytest.raises(UsageError, match="no folder of references"):
        restore(Inverter(), references=tmp_path / "nobody")
    assert not (tmp_path / "out").exists()


def test_progress(restore: Restore, photos: Path, tmp_path: Path) -> None:
    class Shown:
        counts: Sequence[int] = ()
        notes: tuple[str, ...] = ()

        def resume(self, done: object) -> None:
            pass

        def add(self, *counts: int) -> None:
            self.counts = [a + b for a, b in zip(self.counts or [0] * 4, counts, strict=True)]

        def note(self, message: str) -> None:
            self.notes += (message,)

        def close(self) -> None:
            pass

    (photos / "a.jpg").write_text("no image")
    shown = Shown()
    out = str(tmp_path / "out")
    run = PhotoRun(tuple(inputs_beside(str(photos), out)), Inverter(), out)
    restore_photos(run, shown)
    assert shown.counts == [3, 2, 0, 1]
    assert shown.notes[0].startswith("a.jpg: ")
    again = Shown()
    restore_photos(replace(run, method=Inverter()), again)
    assert again.counts == [3, 2, 0, 1]
