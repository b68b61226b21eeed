"""`inscene build raw`: folders of RAW captures to datasets of degraded inputs."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("rawpy")

from made_dng import BLACK, WHITE, Camera, patches, write_dng
from PIL import Image
from synthetic_photos import synthetic_photo

from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.engine.what_if import what_if
from inscene.errors import RecipeError, UsageError
from inscene.gallery.inputs import Rights
from inscene.images import decode
from inscene.raw.develop import develop
from inscene.raw.inputs import list_captures
from inscene.raw.settings import Settings
from inscene.recipe import load_recipe

SCENE = patches(rows=2, columns=3)
CANARY = b"CANARY-20250704"


def make(
    source: Path, out: Path, *overrides: str, workers: engine.Workers | None = None
) -> engine.Summary:
    rights = Rights()
    inputs = rights.described(list_captures([str(source)]), [str(source)], people=True)
    planned = engine.plan_inputs(build(*load_recipe("raw", overrides)), inputs, str(out))
    return engine.run(planned, workers or engine.Workers("inline"))


def rows(out: Path, table: str = "data") -> dict[str, dict[str, Any]]:
    found = pq.read_table(out / table).to_pylist()
    return {row["sample_id"]: row for row in found}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five of Anna and one of Bert, one of them cut, with a sidecar; a JPEG that is no capture."""
    folder = tmp_path_factory.mktemp("raw") / "shoot"
    files = {
        f"anna/IMG_{iso}.dng": write_dng(SCENE, Camera(iso=iso, noise_seed=iso, orientation=6))
        for iso in (800, 1600, 3200, 6400)
    }
    whole = write_dng(SCENE, Camera(iso=1600, exposure=(1, 8), noise_seed=7))
    files |= {"bert/MOVED.DNG": whole, "anna/cut.dng": whole[: len(whole) // 2]}
    write(folder, files)
    synthetic_photo(0, 64, 48).save(folder / "anna" / "IMG_800.jpg")
    (folder / "sidecar.csv").write_text(
        "path,licence,consent,motion_blur\nanna,CC-BY-4.0,written,no\nbert/MOVED.DNG,,,yes\n"
    )
    return folder


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, inscene) -> Path:
    """A dataset of clean photos, three of Anna and one of Clara."""
    folder = tmp_path_factory.mktemp("clean")
    for index, name in enumerate(["anna/1", "anna/2", "anna/IMG_800", "clara/1"]):
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        synthetic_photo(index, 64, 48).save(folder / "photos" / f"{name}.png")
    out = folder / "gallery"
    inscene("build", "gallery", folder / "photos", "--out", out, "--recipe", "photos")
    return out


@pytest.fixture(scope="module")
def dataset(captures: Path, gallery: Path, tmp_path_factory: pytest.TempPathFactory, inscene):
    out = tmp_path_factory.mktemp("raw") / "out"
    done = inscene(
        "build", "raw", captures, "--out", out, "--references", gallery, "--json", code=1
    )
    summary = json.loads(done.stdout)
    assert f"note: {gallery}: no photo of 'bert', of 2 captured; people are matched" in done.stderr
    assert (summary["inputs"], summary["kept"]) == (6, 5)
    assert summary["errors"] == {"develop/image_truncated": 1}
    assert verify(str(out)).problems == []
    return out


def test_each_row_says_how_it_was_taken_and_developed(dataset: Path) -> None:
    found = rows(dataset)
    assert sorted(found) == [
        *(f"anna/IMG_{iso}.dng" for iso in (1600, 3200, 6400, 800)),
        "bert/MOVED.DNG",
    ]
    moved = found["bert/MOVED.DNG"]
    assert moved["camera"] == {
        "iso": 1600,
        "iso_group": 1600,
        "exposure_s": 0.125,
        "make": "Maker Corp.",
        "model": "Model 7",
        "black_level": [BLACK] * 4,
        "white_level": WHITE,
    }
    development = json.loads(moved["development"])
    assert development["libraw"].count(".") == 2
    assert development["parameters"] == Settings().parameters()
    assert moved["scores"]["iso"] == 1600
    assert moved["source"] == "bert"


def test_groups_and_what_is_of_none(dataset: Path) -> None:
    groups = {name: row["camera"]["iso_group"] for name, row in rows(dataset).items()}
    assert groups["anna/IMG_800.dng"] == 800
    assert groups["anna/IMG_3200.dng"] == 3200
    assert groups["anna/IMG_6400.dng"] is None


def test_the_sidecar_marks_motion_blur_and_rights(dataset: Path) -> None:
    found = rows(dataset)
    anna, bert = found["anna/IMG_800.dng"], found["bert/MOVED.DNG"]
    assert (anna["motion_blur"], anna["licence"], anna["consent"]) == (
        False,
        "CC-BY-4.0",
        "written",
    )
    assert (bert["motion_blur"], bert["licence"], bert["consent"]) == (True, "unknown", "unknown")


def test_references_are_the_persons_and_not_the_capture_itself(dataset: Path) -> None:
    found = rows(dataset)
    assert {row["identity"] for row in found.values()} == {"anna", "bert"}
    every = ["anna/1.png", "anna/2.png", "anna/IMG_800.png"]
    assert found["anna/IMG_1600.dng"]["reference_ids"] == every
    assert found["anna/IMG_800.dng"]["reference_ids"] == every[:2]
    assert found["bert/MOVED.DNG"]["reference_ids"] == []


def test_images_are_upright_srgb(dataset: Path, captures: Path) -> None:
    row = rows(dataset)["anna/IMG_800.dng"]
    expected = develop((captures / "anna/IMG_800.dng").read_bytes(), Settings()).pixels
    assert np.array_equal(decode(row["image"]["bytes"]).pixels, expected)
    assert (row["width"], row["height"]) == (64, 96)  # it lies on its side in the file
    assert row["image"]["path"] == "IMG_800.png"


def test_16_bits_are_stored_and_read_by_everybody(tmp_path: Path, captures: Path) -> None:
    out = tmp_path / "out"
    assert make(captures / "bert", out, "develop.bits=16").kept == 1
    (row,) = rows(out).values()
    data = row["image"]["bytes"]
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    expected = develop((captures / "bert/MOVED.DNG").read_bytes(), Settings(bits=16)).pixels
    assert stored.dtype == np.uint16
    assert np.array_equal(stored, expected)
    assert np.array_equal(decode(data).pixels, expected >> 8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), expected >> 8)
    assert verify(str(out)).problems == []


def test_16_bits_and_a_step_that_changes_the_image_exclude_each_other(
    tmp_path: Path, captures: Path
) -> None:
    recipe = tmp_path / "raw.yaml"
    recipe.write_text(
        "name: raw\nmakes: scenes\nsteps:\n  - develop: {bits: 16}\n  - stub_libraw:Darken\n"
    )
    plan = engine.plan_inputs(
        build(*load_recipe(str(recipe))), list_captures([str(captures)]), str(tmp_path / "out")
    )
    with pytest.raises(RecipeError, match="stored with 16 bits"):
        engine.run(plan, engine.Workers("inline"))


def test_nothing_else_of_a_file_is_written(tmp_path: Path) -> None:
    """Names, places and serial numbers, in every place where cameras put them."""
    text = CANARY.decode()
    camera = Camera(
        gps=CANARY,
        more_exif=((37500, CANARY), (42033, CANARY), (42032, CANARY), (37510, CANARY)),
        more=(
            (315, "s", 0, text),  # Artist
            (33432, "s", 0, text),  # Copyright
            (305, "s", 0, text),  # Software
            (50735, "s", 0, text),  # CameraSerialNumber
            (50827, "s", 0, text),  # OriginalRawFileName
            (700, "B", len(CANARY), CANARY),  # XMP
        ),
    )
    data = write_dng(SCENE, camera)
    assert data.count(CANARY) >= 11
    write(tmp_path / "in", {"a.dng": data})
    make(tmp_path / "in", tmp_path / "out")
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) > 3
    assert not [path for path in written if CANARY in path.read_bytes()]
    row = rows(tmp_path / "out")["a.dng"]
    assert "CANARY" not in repr({**row, "image": None})
    assert Image.open(io.BytesIO(row["image"]["bytes"])).info == {}


def test_crashes_and_hangs_cost_their_own_files(tmp_path: Path) -> None:
    """In two worker processes, which all survive: no quarantine, and the table is that of the good
    files alone."""
    good = write_dng(SCENE, Camera(noise_seed=3))
    write(tmp_path / "good", {f"{index:02d}.dng": good for index in range(6)})
    write(tmp_path / "in", {f"{index:02d}.dng": good for index in range(6)})
    hostile = {
        "01-crash.dng": (b"CRASH\n", "raw_decoder_crash"),
        "02-hang.dng": (b"HANG\n", "raw_timeout"),
        "03-exit.dng": (b"EXIT\n", "raw_decoder_crash"),
        "04-cut.dng": (good[:-2000], "image_truncated"),
        "05-other.dng": (b"II*\0" + b"\0" * 500, "raw_unsupported"),
    }
    write(tmp_path / "in", {name: data for name, (data, _) in hostile.items()})
    recipe = tmp_path / "raw.yaml"
    recipe.write_text(
        "name: raw\nmakes: scenes\nshard_rows: 4\nbatch_rows: 2\nsteps:\n"
        "  - stub_libraw:DevelopWithStub: {timeout_s: 5}\n"
    )
    hashes = []
    for source, workers in (
        ("in", engine.Workers("process", 2)),
        ("good", engine.Workers("inline")),
    ):
        out = tmp_path / f"{source}-out"
        inputs = [
            dataclasses.replace(entry, columns=(("source", "shoot"),))
            for entry in list_captures([str(tmp_path / source)])
        ]
        summary = engine.run(
            engine.plan_inputs(build(*load_recipe(str(recipe))), inputs, str(out)), workers
        )
        assert summary.kept == 6
        verdict = verify(str(out))
        assert not verdict.problems
        hashes.append(verdict.table_hash)
    assert hashes[0] == hashes[1]
    refused = rows(tmp_path / "in-out", "drops")
    assert {name: row["reason"] for name, row in refused.items()} == {
        name: reason for name, (_, reason) in hostile.items()
    }
    assert not (tmp_path / "in-out/run/quarantine.json").exists()


def test_other_isos_can_be_dropped_now_or_asked_about_later(
    dataset: Path, captures: Path, tmp_path: Path
) -> None:
    asked = what_if(str(dataset), ["iso_group.others=drop"])
    assert asked.lost == {"iso_group/iso_outside_groups": ["anna/IMG_6400.dng"]}
    out = tmp_path / "out"
    summary = make(captures, out, "iso_group.others=drop", "iso_group.groups=[800]")
    assert summary.dropped == {"iso_group/iso_outside_groups": 4}
    back = what_if(str(out), ["iso_group.groups=[800, 1600]"])
    assert back.gained == {"iso_group/iso_outside_groups": ["anna/IMG_1600.dng", "bert/MOVED.DNG"]}


def test_people_without_references_can_be_dropped(
    captures: Path, gallery: Path, tmp_path: Path
) -> None:
    summary = make(
        captures, tmp_path / "out", f"references.dataset={gallery}", "references.missing=drop"
    )
    assert summary.dropped == {"references/no_references": 1}
    assert rows(tmp_path / "out", "drops")["bert/MOVED.DNG"]["detail"] == "of 'bert'"


def test_references_may_be_a_folder_of_photos(
    captures: Path, gallery: Path, tmp_path: Path
) -> None:
    make(captures, tmp_path / "out", f"references.dataset={gallery.parent / 'photos'}")
    found = rows(tmp_path / "out")["anna/IMG_1600.dng"]["reference_ids"]
    assert found == ["anna/1.png", "anna/2.png", "anna/IMG_800.png"]


def test_references_of_nobody_are_a_mistake(captures: Path, tmp_path: Path) -> None:
    synthetic_photo(0, 64, 48).save(tmp_path / "photo.png")
    with pytest.raises(UsageError, match="names nobody"):
        make(captures, tmp_path / "out", f"references.dataset={tmp_path}")


def test_a_hostile_date_does_not_cost_the_capture(tmp_path: Path) -> None:
    """rawpy reads it together with the ISO, and fails at dates that Python does not know."""
    date = b"9999:99:99 99:99:99\0"
    write(
        tmp_path / "in", {"a.dng": write_dng(SCENE, Camera(more=((306, "s", 0, date.decode()),)))}
    )
    assert make(tmp_path / "in", tmp_path / "out").kept == 1
    (row,) = rows(tmp_path / "out").values()
    assert (row["camera"]["iso"], row["camera"]["make"]) == (None, "Maker Corp.")


def test_a_flipped_byte_never_stops_a_run(tmp_path: Path) -> None:
    data = write_dng(patches(rows=1, columns=1), Camera())
    rng = np.random.default_rng(0)
    files = {}
    for index in range(60):
        mutant = bytearray(data)
        # In the directories, where a byte means something.
        place = int(rng.choice([rng.integers(0, 600), len(data) - 1 - rng.integers(0, 120)]))
        mutant[place] = int(rng.integers(0, 256))
        files[f"{index:02d}.dng"] = bytes(mutant)
    write(tmp_path / "in", files)
    summary = make(tmp_path / "in", tmp_path / "out", "develop.timeout_s=20")
    assert summary.inputs == 60 == summary.kept + sum(summary.errors.values())
    assert summary.kept > 20
    known = {"image_truncated", "image_corrupt", "image_too_many_pixels", "raw_unsupported"}
    known |= {"raw_without_white_balance", "raw_decoder_crash", "raw_timeout"}
    assert {reason.partition("/")[2] for reason in summary.errors} <= known
