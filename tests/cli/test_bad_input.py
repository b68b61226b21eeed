"""Every bad input ends with its clear reason, and no good one is lost."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from synthetic_photos import synthetic_photo


def bomb_png(side: int) -> bytes:
    """A valid PNG of side² black pixels, a few kilobytes long."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    photo = synthetic_photo(0, 80, 60)
    photo.save(folder / "good.jpg")
    photo.save(folder / "line\nbreak.png")
    photo.save(folder / "größe 大.webp")
    photo.save(os.fsdecode(os.fsencode(folder) + b"/latin-\xe9.png"))
    Image.new("RGB", (1, 1)).save(folder / "one-pixel.png")
    (folder / "empty.jpg").touch()
    for kind in ("jpg", "png", "webp", "tiff"):
        whole = folder / f"whole.{kind}"
        photo.save(whole)
        data = whole.read_bytes()
        whole.unlink()
        (folder / f"cut.{kind}").write_bytes(data[: len(data) * 2 // 3])
    (folder / "text.jpg").write_text("I am no image\n" * 20)
    (folder / "bomb.png").write_bytes(bomb_png(13000))
    (folder / "folder.png").mkdir()
    (folder / "broken-link.jpg").symlink_to(folder / "nowhere.jpg")
    photo.save(folder / "moving.gif", save_all=True, append_images=[synthetic_photo(1, 80, 60)])
    return folder


REASONS = {
    "empty.jpg": "empty_file",
    "cut.jpg": "image_truncated",
    "cut.png": "image_truncated",
    "cut.webp": "image_truncated",
    "cut.tiff": "image_truncated",
    "text.jpg": "not_an_image",
    "bomb.png": "image_too_many_pixels",
    "folder.png": "is_a_directory",
    "broken-link.jpg": "broken_symlink",
    "moving.gif": "image_animated",
}
GOOD = {"good.jpg", "line\nbreak.png", "größe 大.webp", "latin-\\xe9.png", "one-pixel.png"}


@pytest.mark.parametrize("executor", ["inline", "process"])
def test_every_input_has_its_reason(executor: str, folder: Path, tmp_path: Path, inscene) -> None:
    assert len((folder / "bomb.png").read_bytes()) < 50_000
    out = tmp_path / "out"
    done = inscene(
        "build", "gallery", folder, "--recipe", "photos", "--out", out,
        "--executor", executor, "--set", "shard_rows=4", code=1,
    )  # fmt: skip
    kept = set(pq.read_table(out / "data", columns=["sample_id"])["sample_id"].to_pylist())
    drops = pq.read_table(out / "drops").to_pylist()
    assert kept == GOOD
    assert {row["sample_id"]: row["reason"] for row in drops} == REASONS
    assert all(row["kind"] == "error" and row["detail"] for row in drops)
    assert f"{len(GOOD) + len(REASONS)} inputs = {len(GOOD)} kept" in done.stdout
    inscene("verify", out)
    for reason in set(REASONS.values()):
        assert reason in inscene("funnel", out).stdout


def test_no_permission(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    synthetic_photo(0, 40, 30).save(photos / "good.png")
    synthetic_photo(1, 40, 30).save(photos / "closed.png")
    (photos / "closed.png").chmod(0)
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "inscene",
        "build",
        "gallery",
        photos,
        "--recipe",
        "photos",
        "--out",
        out,
    ]
    if os.access(photos / "closed.png", os.R_OK):  # root: give up the right to read everything
        drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
        if shutil.which("setpriv") is None:
            pytest.skip("this user reads every file, and there is no setpriv to stop it")
        command = [*drop, *command]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    (row,) = pq.read_table(tmp_path / "out/drops").to_pylist()
    assert (row["sample_id"], row["reason"]) == ("closed.png", "permission_denied")
