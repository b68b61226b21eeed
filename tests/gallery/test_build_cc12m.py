"""``inscene build cc12m``: photographs of the web, and archives that mean harm."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, TiffImagePlugin
from skimage import data as photographs
from tar_files import claiming, sample, special, write_tar
from typer.testing import CliRunner

from inscene.cli.app import app
from inscene.dataset.verify import verify
from inscene.engine.registry import build
from inscene.errors import InsceneError
from inscene.recipe import load_recipe

pytest.importorskip("facenet_pytorch")

SMALLER = [f"--set={value}" for value in ("min_size.short_side_px=400", "square.side_px=256")]
"""For photographs of 512 pixels."""
NO_QUALITY = "--set=iqa=null"


class Watch:
    """Where files are made, changed or removed while it is on, by Python's own audit events."""

    WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def __init__(self) -> None:
        self.on = False
        self.places: set[str] = set()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, int) or not (set(mode or "") & set("wax+") or flags & self.WRITES):
                return
            self.places.add(os.fsdecode(path))
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.utime"):
            self.places.add(os.fsdecode(arguments[0]))
        elif event in ("os.rename", "os.link", "os.symlink"):
            self.places |= {os.fsdecode(arguments[0]), os.fsdecode(arguments[1])}


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


def jpeg(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92, **options)
    return file.getvalue()


def revealing_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x013B] = "SECRETMAKE", "SECRETMODEL", "SECRETARTIST"
    exif.get_ifd(0x8769)[0xA431] = "SECRETSERIAL"
    exif.get_ifd(0x8769)[0x927C] = b"SECRETNOTES"
    exif.get_ifd(0x8825)[0x0002] = tuple(TiffImagePlugin.IFDRational(v) for v in (48, 8, 13))
    return exif


def on_canvas(width: int, height: int, left: int, top: int) -> Image.Image:
    canvas = Image.new("RGB", (width, height), (90, 110, 90))
    canvas.paste(Image.fromarray(photographs.astronaut()), (left, top))
    return canvas


def photos() -> dict[str, bytes]:
    astronaut, coffee = on_canvas(512, 512, 0, 0), Image.fromarray(photographs.coffee())
    return {
        "000000000": jpeg(astronaut, exif=revealing_exif(), comment=b"SECRETCOMMENT"),
        "000000001": jpeg(on_canvas(1100, 512, 588, 0)),
        "000000002": jpeg(on_canvas(512, 1100, 0, 588)),
        "000000003": jpeg(coffee.resize((700, 500))),
        "000000004": jpeg(astronaut.resize((399, 399))),
        "000000005": b"<html>not found</html>",
    }


ENDS = {
    "00000.tar/000000002.jpg": "near_duplicate",  # its square is the first photo again
    "00000.tar/000000003.jpg": "no_face",
    "00000.tar/000000004.jpg": "too_small",
    "00000.tar/000000005.jpg": "not_an_image",
}


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """One honest tar and several of every kind of harm."""
    folder = tmp_path / "cc12m"
    found = photos()
    write_tar(folder / "00000.tar", [m for key, one in found.items() for m in sample(key, one)])
    bad = found["000000000"]
    write_tar(
        folder / "00001.tar",
        [
            ("../escape.jpg", bad),
            (f"{tmp_path}/absolute.jpg", bad),
            special("way.jpg", tarfile.SYMTYPE, ".."),
            special("way", tarfile.SYMTYPE, str(tmp_path)),
            ("way/escape.jpg", found["000000003"]),
            special("passwd.jpg", tarfile.LNKTYPE, "/etc/passwd"),
            special("null.jpg", tarfile.CHRTYPE),
        ],
        claiming("huge.jpg", 2**50),
    )
    (folder / "00002.tar").write_bytes((folder / "00000.tar").read_bytes()[:700])
    return folder


HOSTILE = {
    "00001.tar/member-000000": "archive_escape",
    "00001.tar/member-000001": "archive_escape",
    "00001.tar/member-000002": "archive_link",
    "00001.tar/member-000003": "archive_link",
    "00001.tar/way/escape.jpg": "no_face",
    "00001.tar/member-000005": "archive_link",
    "00001.tar/member-000006": "archive_special_file",
    "00001.tar/member-000007": "archive_too_large",
    "00002.tar/member-000000": "archive_truncated",
}


def state_of(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def rows(out: Path, table: str) -> Iterator[dict[str, Any]]:
    for file in sorted(out.glob(f"{table}/*.parquet")):
        yield from pq.read_table(file).to_pylist()


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["build", "cc12m", *map(str, arguments)])
    if isinstance(done.exception, InsceneError):
        return done.exception.exit_code, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_every_photo_ends_in_one_place_and_nothing_is_written_elsewhere(
    tmp_path: Path, tars: Path, watch: Watch
) -> None:
    out = tmp_path / "out"
    before = state_of(tmp_path)
    watch.on = True
    try:
        code, said = run(tars, "--out", out, NO_QUALITY, *SMALLER, "--licence", "various")
    finally:
        watch.on = False
    assert code == 1, said  # some inputs had errors
    after = {name: one for name, one in state_of(tmp_path).items() if f"{out}/" not in f"{name}/"}
    assert after == before
    assert watch.places, "it hears nothing"
    outside = {p for p in watch.places if not f"{p}/".startswith(f"{out}/")}
    assert outside <= {os.devnull}

    scenes = {row["sample_id"]: row for row in rows(out, "data")}
    assert {r["sample_id"]: r["reason"] for r in rows(out, "drops")} == ENDS | HOSTILE
    assert list(scenes) == ["00000.tar/000000000.jpg", "00000.tar/000000001.jpg"]
    for name, row in scenes.items():
        key = name[10:-4]
        assert row["prompt"] == f"a person, {key}"
        assert row["source_url"] == f"https://photos.example/{key}.jpg"
        assert (row["licence"], row["consent"], row["identity"]) == ("various", "unknown", None)
        assert (row["width"], row["height"]) == (256, 256)
        x0, y0, x1, y1 = row["face_bbox"]
        assert x0 >= 0
        assert y0 >= 0
        assert max(x1, y1) <= 256
    assert not verify(str(out)).problems
    for file in out.rglob("*"):
        assert b"SECRET" not in (file.read_bytes() if file.is_file() else b"")

    # Another threshold is answered from the scores: what was 512 high is then too small.
    arguments = ["funnel", str(out), "--set", "min_size.short_side_px=513", "--json"]
    told = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert told["what_if"]["lost"] == {"min_size/too_small": list(scenes)}

    # The same command again has nothing to do.
    assert run(tars, "--out", out, NO_QUALITY, *SMALLER, "--licence", "various")[0] == 1
    assert {row["sample_id"]: row for row in rows(out, "data")} == scenes


def test_the_person_stays_in_the_frame(tmp_path: Path, tars: Path) -> None:
    """Where the photo is much longer than wide, a cut in the middle would lose the face."""
    out = tmp_path / "out"
    run(tars / "00000.tar", "--out", out, NO_QUALITY, *SMALLER, "--set=duplicates=null")
    scenes = list(rows(out, "data"))
    first, *others = (face_of(row) for row in scenes)
    for other in others:
        assert np.corrcoef(first.ravel(), other.ravel())[0, 1] > 0.9
    # Upright, the head stays with what is below it: the square begins above the hair.
    below = Image.open(io.BytesIO(photos()["000000002"])).crop((0, 588, 512, 1100))
    expected = np.asarray(below.resize((256, 256), Image.Resampling.LANCZOS), np.float32)
    found = Image.open(io.BytesIO(scenes[2]["image"]["bytes"]))
    assert np.abs(np.asarray(found, np.float32) - expected).mean() < 1


def face_of(row: dict[str, Any]) -> np.ndarray[Any, Any]:
    scene = Image.open(io.BytesIO(row["image"]["bytes"]))
    return np.asarray(scene.resize((48, 64), box=tuple(row["face_bbox"])), np.float32)


def test_a_folder_of_the_same_photos_gives_the_same_scenes(tmp_path: Path, tars: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for key, data in photos().items():
        (plain / f"{key}.jpg").write_bytes(data)
    run(tars / "00000.tar", "--out", tmp_path / "a", "--recipe", "photos")
    run(plain, "--out", tmp_path / "b", "--recipe", "photos")
    a, b = ([(r["image"], r["sha256"]) for r in rows(tmp_path / o, "data")] for o in "ab")
    assert len(a) == 5
    assert a == b
    assert [row["prompt"] for row in rows(tmp_path / "b", "data")] == [None] * 5


def test_the_table_does_not_depend_on_workers(tmp_path: Path, tars: Path) -> None:
    recipe = ("--recipe", "photos", "--set=shard_rows=2")
    assert run(tars, "--out", tmp_path / "a", *recipe, "--executor", "inline")[0] == 1
    assert run(
        *sorted(tars.iterdir(), reverse=True), "--out", tmp_path / "b", *recipe,
        "--executor", "process", "--workers", "2",
    )[0] == 1  # fmt: skip
    a, b = verify(str(tmp_path / "a")), verify(str(tmp_path / "b"))
    assert not a.problems + b.problems
    assert a.kept == 6
    assert a.errors == 9  # no image, and what was refused
    assert a.table_hash == b.table_hash


def test_a_tar_that_changed_is_another_input(tmp_path: Path, tars: Path) -> None:
    out = tmp_path / "out"
    run(tars, "--out", out, "--recipe", "photos")
    with (tars / "00000.tar").open("ab") as file:
        file.write(bytes(512))
    code, said = run(tars, "--out", out, "--recipe", "photos")
    assert code == 2, said


def test_what_a_sidecar_says_goes_over_what_a_tar_does(tmp_path: Path, tars: Path) -> None:
    """By sample id, on the command line or in the folder."""
    name = "00000.tar/000000000.jpg"
    said = {name: {"licence": "CC0-1.0", "source_url": "https://archive.example/1"}}
    (tars / "sidecar.json").write_text(json.dumps(said))
    run(tars, "--out", tmp_path / "out", "--recipe", "photos", "--consent", "published")
    first, second, *_ = rows(tmp_path / "out", "data")
    assert (first["licence"], first["consent"]) == ("CC0-1.0", "published")
    assert first["source_url"] == "https://archive.example/1"
    assert (second["licence"], second["consent"]) == ("unknown", "published")
    assert second["source_url"] == "https://photos.example/000000001.jpg"


def test_missing_weights_say_how_to_do_without(
    tmp_path: Path, tars: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "none"))
    code, said = run(tars, "--out", tmp_path / "out")
    assert code == 4
    assert "inscene weights pull" in said
    assert "iqa=null" in said
    code, said = run(tars, "--out", tmp_path / "out", "--plan")
    assert code == 0
    assert "weights missing: 3, " in said
    assert "Or, for a dataset without: --set iqa=null" in said
    assert not (tmp_path / "out").exists()


def test_the_shipped_recipe() -> None:
    built = build(*load_recipe("cc12m", ["iqa=null"]))
    steps = dict(built.steps)
    assert list(steps) == ["decode", "min_size", "detect_faces", "square", "phash"]
    assert [name for name, _ in built.closing] == ["duplicates"]
    assert (steps["min_size"].short_side_px, steps["square"].keep) == (1024, "person")  # type: ignore[attr-defined]
