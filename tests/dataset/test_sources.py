"""What may stand where a dataset is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic_photos import synthetic_photo

from inscene.dataset.sources import list_inputs, read_inputs
from inscene.errors import SampleError, UsageError


@pytest.fixture
def png(tmp_path: Path) -> bytes:
    synthetic_photo(0, 8, 6).save(tmp_path / "one.png")
    return (tmp_path / "one.png").read_bytes()


def test_ids_are_paths_below_the_source_and_sorted(photo_folder: Path) -> None:
    ids = [entry.id for entry in list_inputs([str(photo_folder)])]
    assert ids == sorted(ids)
    assert ids[0] == "anna/001.jpg"


def test_several_folders_are_told_apart_by_name(tmp_path: Path) -> None:
    for folder in ("a/x", "b/y", "c/x"):
        (tmp_path / folder).mkdir(parents=True)
        synthetic_photo(0, 8, 6).save(tmp_path / folder / "1.png")
    sources = [str(tmp_path / "a/x"), str(tmp_path / "b/y")]
    assert [entry.id for entry in list_inputs(sources)] == ["x/1.png", "y/1.png"]
    with pytest.raises(UsageError, match="two sources are named 'x'"):
        list_inputs([str(tmp_path / "a/x"), str(tmp_path / "c/x")])


def test_single_files_keep_their_names(tmp_path: Path, png: bytes) -> None:
    (tmp_path / "two.png").write_bytes(png)
    sources = [str(tmp_path / "two.png"), str(tmp_path / "one.png")]
    assert [entry.id for entry in list_inputs(sources)] == ["one.png", "two.png"]


def test_parquet_of_others(tmp_path: Path, png: bytes) -> None:
    """Any single column of images is read; ids are made where there are none."""
    file = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"jpg": [png, png], "caption": ["a", "b"]}), file)
    inputs = list_inputs([str(file)])
    assert [entry.id for entry in inputs] == ["photos.parquet#0.0", "photos.parquet#0.1"]
    (_, row), _ = read_inputs(inputs)
    assert isinstance(row, dict)
    assert row["image"]["bytes"] == png
    assert row["caption"] == "a"


def test_ambiguous_parquet_is_refused(tmp_path: Path, png: bytes) -> None:
    file = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"before": [png], "after": [png]}), file)
    with pytest.raises(UsageError, match="several image columns: before, after"):
        list_inputs([str(file)])


def test_a_path_in_a_cell_is_never_opened(tmp_path: Path, png: bytes) -> None:
    secret = tmp_path / "one.png"
    cell = {"bytes": None, "path": str(secret)}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array([cell], kind)}), tmp_path / "evil.parquet")
    ((_, row),) = read_inputs(list_inputs([str(tmp_path / "evil.parquet")]))
    assert isinstance(row, SampleError)
    assert row.reason == "image_bytes_missing"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.mkdir(), "holds no images"),
        (lambda path: path.with_suffix(".parquet").write_text("text"), "no such file"),
    ],
)
def test_sources_that_are_none(make, words: str, tmp_path: Path) -> None:
    make(tmp_path / "source")
    with pytest.raises(UsageError, match=words):
        list_inputs([str(tmp_path / "source")])


def test_text_named_parquet(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("text")
    with pytest.raises(UsageError, match="is not a Parquet file"):
        list_inputs([str(tmp_path / "x.parquet")])


def test_columns_of_our_names_must_hold_what_ours_hold(tmp_path: Path, png: bytes) -> None:
    file = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"image": [png], "seed": ["abc"]}), file)
    with pytest.raises(UsageError, match="'seed' holds string, where this tool's hold int64"):
        list_inputs([str(file)])


def test_missing_values_are_filled(tmp_path: Path, png: bytes) -> None:
    file = tmp_path / "photos.parquet"
    strings = pa.array([None], pa.string())
    pq.write_table(pa.table({"image": [png], "sample_id": strings, "sha256": strings}), file)
    ((_, row),) = read_inputs(list_inputs([str(file)]))
    assert isinstance(row, dict)
    assert row["sample_id"] == "photos.parquet#0.0"
    assert len(row["sha256"]) == 64


def test_a_split_is_no_path(tmp_path: Path, png: bytes) -> None:
    from inscene.engine.plan import plan_shards

    file = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"image": [png], "split": ["../../escape"]}), file)
    inputs = list_inputs([str(file)])
    with pytest.raises(UsageError, match="cannot name a split"):
        plan_shards(inputs, recipe_hash="", default_split="train", shard_rows=4)
