"""What people do wrong, and files that change or break: a clear end, never a wrong result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic_photos import synthetic_photo


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(6):
        synthetic_photo(index, 48, 40).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def scenes(photos: Path, tmp_path: Path, inscene) -> Path:
    inscene("build", "gallery", photos, "--recipe", "photos", "--out", tmp_path / "scenes")
    return tmp_path / "scenes"


def test_a_photo_that_changed_is_not_mixed_with_its_past(photos, scenes, inscene) -> None:
    synthetic_photo(99, 48, 40).save(photos / "3.png")
    done = inscene("build", "gallery", photos, "--recipe", "photos", "--out", scenes, code=2)
    assert "content has changed since" in done.stderr


def test_results_of_other_pairs_are_not_taken_for_these(scenes, tmp_path, inscene) -> None:
    """Pairs made anew under the same name: a bench into the old folder must not say 'done'."""
    pairs, results = tmp_path / "pairs", tmp_path / "results"
    bench = ["bench", "--method", "bicubic", "--dataset", pairs, "--out", results]
    inscene("degrade", scenes, "--versions", "1", "--out", pairs)
    inscene(*bench)
    inscene(*bench)
    subprocess.run(["rm", "-r", pairs], check=True)
    inscene("degrade", scenes, "--versions", "1", "--seed", "7", "--out", pairs)
    assert "content has changed since" in inscene(*bench, code=2).stderr


def test_datasets_with_equal_ids_are_told_apart(photos, scenes, tmp_path, inscene) -> None:
    inscene("build", "gallery", photos, "--recipe", "photos", "--out", tmp_path / "other")
    inscene(
        "build",
        "gallery",
        scenes,
        tmp_path / "other",
        "--recipe",
        "photos",
        "--out",
        tmp_path / "both",
    )
    assert json.loads(inscene("verify", tmp_path / "both", "--json").stdout)["rows"] == 12
    inscene("degrade", scenes, "--versions", "2", "--out", tmp_path / "pairs")
    inscene("degrade", tmp_path / "pairs", "--versions", "2", "--out", tmp_path / "twice")
    assert json.loads(inscene("verify", tmp_path / "twice", "--json").stdout)["rows"] == 24


def test_a_damaged_row_group_costs_its_rows_only(scenes, tmp_path, inscene) -> None:
    copy = tmp_path / "copy.parquet"
    (file,) = (scenes / "data").iterdir()
    pq.write_table(pq.read_table(file), copy, row_group_size=2, compression="snappy")
    column = pq.ParquetFile(copy).metadata.row_group(1).column(3)  # image bytes
    data = bytearray(copy.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    copy.write_bytes(data)
    done = inscene(
        "build", "gallery", copy, "--recipe", "photos", "--out", tmp_path / "out", code=1
    )
    assert "6 inputs = 4 kept + 0 dropped + 2 errors" in done.stdout
    assert "read/parquet_unreadable" in done.stdout


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, inscene) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(40):
        synthetic_photo(index, 500, 500).save(photos / f"{index}.png")
    arguments = ["degrade", photos, "--out", tmp_path / "out", "--set", "shard_rows=4"]
    arguments += ["--versions", "100"]  # minutes of work
    command = [sys.executable, "-m", "inscene", *map(str, arguments), "--executor", "process"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "out/run").glob("in-work/*")):
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "The same command resumes." in said
    assert "Traceback" not in said
    assert list((tmp_path / "out/run/in-work").iterdir()) == []
    inscene(*arguments, "--limit", "1", code=2)  # still the same run, with all its inputs


BUILD = ["build", "gallery", "--recipe", "photos"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([*BUILD, "photos", "--out", "afile"], 4, "cannot be written"),
        ([*BUILD, "photos", "--out", "afile/below"], 4, "cannot be written"),
        ([*BUILD, "photos", "--out", "photos"], 2, "is both source and --out"),
        ([*BUILD, "photos", "--out", "nothing://x"], 2, "is no URL that can be opened"),
        (["verify", "afile"], 2, "not a dataset of inscene"),
        ([*BUILD, "mixed", "--out", "x"], 2, "2 images and 1 Parquet files"),
        ([*BUILD, "photos", "--out", "x", "--set", "makes=pairs"], 2, "'version'"),
        ([*BUILD, "photos", "--out", "x", "--set", "seed=abc"], 2, "--set seed"),
        (
            [*BUILD, "photos", "--out", "x", "--set", "decode.max_megapixels=.inf"],
            2,
            "--set decode.max_megapixels",
        ),
        (["degrade", "photos", "--out", "x", "--profile", "123"], 2, "123"),
        (["bench", "--method", "bicubic", "--dataset", "photos", "--out", "x"], 2, "column 'lq'"),
        (["bench", "--method", "folder:", "--dataset", "photos", "--out", "x"], 2, "no folder"),
        (
            ["bench", "--method", "identity", "--dataset", "photos", "--out", "x",
             "--metrics", "psnr,psnr"],
            2,
            "each once",
        ),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(
    arguments, code, words, photos, tmp_path, monkeypatch, inscene
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").write_text("text")
    (tmp_path / "mixed").mkdir()
    for name in ("1.png", "2.png"):
        synthetic_photo(0, 8, 8).save(tmp_path / "mixed" / name)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "mixed/meta.parquet")
    done = inscene(*arguments, code=code)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_records_are_found_and_made_again(photos, scenes, inscene) -> None:
    (record,) = (scenes / "run/records").iterdir()
    record.write_text('{"torn')
    assert "is damaged" in inscene("verify", scenes, code=5).stdout
    inscene("build", "gallery", photos, "--recipe", "photos", "--out", scenes)
    inscene("verify", scenes)
    (scenes / "run/plan.jsonl").unlink()
    assert "damaged or missing" in inscene("funnel", scenes, code=5).stderr


def test_an_ascii_terminal(scenes, inscene, monkeypatch) -> None:
    monkeypatch.setitem(os.environ, "PYTHONIOENCODING", "ascii")
    assert "6 inputs = 6 kept" in inscene("verify", scenes).stdout


def test_methods_on_fewer_samples_are_not_ranked(scenes, tmp_path, inscene) -> None:
    inscene("degrade", scenes, "--versions", "1", "--out", tmp_path / "pairs")
    bench = ["bench", "--dataset", tmp_path / "pairs", "--out", tmp_path / "results"]
    inscene(*bench, "--method", "bicubic")
    inscene(*bench, "--method", "identity", "--limit", "2")
    board = inscene("leaderboard", tmp_path / "results", "--format", "markdown").stdout
    (identity,) = [line for line in board.splitlines() if line.startswith("| identity")]
    assert identity.count("* (n=2)") == 3
    (bicubic,) = [line for line in board.splitlines() if line.startswith("| bicubic")]
    assert bicubic.count("**") == 6


def test_a_method_that_fails_everywhere_stays_on_the_board(scenes, tmp_path, inscene) -> None:
    (tmp_path / "nothing").mkdir()
    synthetic_photo(0, 8, 8).save(tmp_path / "nothing" / "another name.png")
    inscene("degrade", scenes, "--versions", "1", "--out", tmp_path / "pairs")
    inscene(
        "bench", "--dataset", tmp_path / "pairs", "--out", tmp_path / "results",
        "--method", "bicubic", "--method", f"folder:{tmp_path / 'nothing'}", code=1,
    )  # fmt: skip
    board = inscene("leaderboard", tmp_path / "results").stdout
    line = next(line for line in board.splitlines() if "folder:nothing" in line)
    assert line.count("n/a") == 3
