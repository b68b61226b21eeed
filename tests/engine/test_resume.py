"""What a folder accepts to be resumed with, and what it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import RecipeError, UsageError
from inscene.recipe import load_recipe


def run(recipe: str | Path, source: Path, out: Path, *overrides: str, limit=None) -> engine.Summary:
    loaded, text = load_recipe(str(recipe), overrides)
    return engine.run(engine.plan(build(loaded, text), [str(source)], str(out), limit))


def test_done_shards_are_not_done_again(write_recipe, photo_folder, tmp_path) -> None:
    recipe = write_recipe()
    first = run(recipe, photo_folder, tmp_path / "out")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/data").iterdir()}
    assert run(recipe, photo_folder, tmp_path / "out") == first
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_another_recipe_is_refused_by_its_key(photo_folder, tmp_path) -> None:
    run("photos", photo_folder, tmp_path / "out")
    with pytest.raises(RecipeError, match=r"steps\.decode\.max_megapixels is 80\.0 there and 40"):
        run("photos", photo_folder, tmp_path / "out", "decode.max_megapixels=40")


def test_other_inputs_are_refused(write_recipe, photo_folder, tmp_path) -> None:
    recipe = write_recipe()
    run(recipe, photo_folder, tmp_path / "out", limit=20)
    with pytest.raises(UsageError, match="4 are new and 0 are gone"):
        run(recipe, photo_folder, tmp_path / "out")


def test_a_folder_with_foreign_data_is_refused(write_recipe, photo_folder, tmp_path) -> None:
    run(write_recipe(), photo_folder, tmp_path / "out")
    shutil.rmtree(tmp_path / "out/run")
    with pytest.raises(UsageError, match="no run of inscene wrote"):
        run(write_recipe(), photo_folder, tmp_path / "out")


def test_a_lost_file_is_made_again(write_recipe, photo_folder, tmp_path) -> None:
    recipe = write_recipe()
    run(recipe, photo_folder, tmp_path / "out")
    before = verify(str(tmp_path / "out")).table_hash
    next((tmp_path / "out/data").iterdir()).unlink()
    assert verify(str(tmp_path / "out")).problems
    run(recipe, photo_folder, tmp_path / "out")
    assert verify(str(tmp_path / "out")).table_hash == before


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("executor", ["inline", "process"])
def test_a_full_disk_ends_the_run_and_leaves_it_resumable(
    executor: str, small_disk: Path, write_recipe, tmp_path: Path, inscene
) -> None:
    from synthetic_photos import synthetic_photo

    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(12):
        synthetic_photo(index, 400, 400).save(photos / f"{index}.png")  # about 0.3 MB each
    arguments = ["build", "gallery", photos, "--recipe", write_recipe(), "--executor", executor]
    full = inscene(*arguments, "--out", small_disk / "out", code=4)
    assert "the disk is full" in full.stderr
    assert "run the same command again" in full.stderr
    whole = {path.name for path in (small_disk / "out/data").glob("*.parquet")}
    assert len(whole) < 3

    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    inscene(*arguments, "--out", small_disk / "out")
    inscene(*arguments, "--out", tmp_path / "elsewhere")
    resumed = verify(str(small_disk / "out"))
    assert resumed.problems == []
    assert resumed.table_hash == verify(str(tmp_path / "elsewhere")).table_hash
