"""Staged files: all rows, deterministic, as the Hub's viewer wants them, in constant memory."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hub.large import large_dataset
from hub.small import cells
from inscene.dataset.store import LocalStore
from inscene.dataset.tablehash import table_hash
from inscene.errors import MachineError, UsageError
from inscene.hub import stage as stage_module
from inscene.hub.package import METADATA, Staged
from inscene.hub.stage import discard, stage
from inscene.schema import IMAGE, SCENES


@pytest.fixture(scope="module")
def staged(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Staged:
    return stage(LocalStore(scenes), tmp_path_factory.mktemp("staged"), max_file_bytes=30_000)


def data_files(staged: Staged) -> list[str]:
    return [file.path for file in staged.files if file.config == "default"]


def test_the_rows_are_the_datasets(staged: Staged, scenes: Path) -> None:
    assert staged.rows == 12
    assert staged.splits(METADATA) == staged.splits()
    source = LocalStore(scenes)
    there = table_hash(source, source.list("data/*.parquet"), SCENES)
    assert table_hash(LocalStore(staged.folder), data_files(staged), SCENES) == there


def test_what_is_said_of_the_files_is_true(staged: Staged) -> None:
    for file in staged.files:
        content = file.local.read_bytes()
        assert file.bytes == len(content)
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.rows == pq.read_metadata(file.local).num_rows
        assert file.local == staged.folder / file.path
    assert staged.bytes == sum(file.bytes for file in staged.files)
    assert len(data_files(staged)) > 1
    for number, path in enumerate(data_files(staged)):
        assert path == f"data/train-{number:05d}-of-{len(data_files(staged)):05d}.parquet"


def test_files_are_as_the_viewer_wants_them(staged: Staged) -> None:
    for file in staged.files:
        meta = pq.read_metadata(file.local)
        assert b"content_defined_chunking" in meta.metadata
        columns = [meta.row_group(0).column(n) for n in range(meta.num_columns)]
        assert all(column.has_offset_index for column in columns)
        by_path = {column.path_in_schema: column.compression for column in columns}
        if file.config == METADATA:
            assert not any(path.startswith("image") for path in by_path)
            assert "sample_id" in by_path
        else:
            assert by_path["image.bytes"] == "UNCOMPRESSED"
            assert by_path["sample_id"] == "ZSTD"
            said = json.loads(pq.read_schema(file.local).metadata[b"huggingface"])
            assert said["info"]["features"]["image"] == {"_type": "Image"}


def test_the_same_bytes_every_time(staged: Staged, scenes: Path, tmp_path: Path) -> None:
    again = stage(LocalStore(scenes), tmp_path / "again", max_file_bytes=30_000)
    assert [(f.path, f.sha256) for f in again.files] == [(f.path, f.sha256) for f in staged.files]


def test_row_groups_are_bounded(scenes: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(stage_module, "ROW_GROUP_BYTES", 20_000)
    staged = stage(LocalStore(scenes), tmp_path / "s")
    (path,) = data_files(staged)
    meta = pq.read_metadata(staged.folder / path)
    assert meta.num_row_groups > 1
    largest_row = max(len(data) for data in cells([staged.folder / path]).values())
    for group in range(meta.num_row_groups):
        # A row group of the dataset's shards is four rows here: it is not cut.
        assert meta.row_group(group).total_byte_size < 20_000 + 4 * (largest_row + 3_000)


def test_a_dataset_that_fits_is_one_file(scenes: Path, tmp_path: Path) -> None:
    staged = stage(LocalStore(scenes), tmp_path / "s")
    assert [file.path for file in staged.files] == [
        "data/train-00000-of-00001.parquet",
        "metadata/train-00000-of-00001.parquet",
    ]


class Forgotten:
    def __init__(self, *ids: str) -> None:
        self.ids, self.asked = ids, set[str]()

    def covers(self, sample_id: str, image_sha256: str) -> bool:
        self.asked.add(image_sha256)
        return sample_id in self.ids


def test_forgotten_rows_stay_out_and_other_files_are_the_same(
    staged: Staged, scenes: Path, tmp_path: Path
) -> None:
    gone = Forgotten("11.png")
    less = stage(LocalStore(scenes), tmp_path / "s", forgotten=gone, max_file_bytes=30_000)
    assert (less.rows, less.forgotten_rows) == (11, 1)
    assert all(len(digest) == 64 for digest in gone.asked)
    kept = cells([less.folder / path for path in data_files(less)])
    assert "11.png" not in kept
    assert len(kept) == 11
    before, after = ({f.path: f.sha256 for f in s.files} for s in (staged, less))
    same = [path for path in data_files(staged) if before[path] == after[path]]
    assert len(same) == len(data_files(staged)) - 1


def test_what_is_staged_is_taken_again_until_it_is_discarded(scenes, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "s"
    first = stage(LocalStore(scenes), folder)
    with monkeypatch.context() as patch:
        patch.delattr(stage_module, "_Stage")
        assert stage(LocalStore(scenes), folder) == first
    first.files[0].local.write_bytes(b"torn")
    assert stage(LocalStore(scenes), folder) == first
    assert first.files[0].local.stat().st_size == first.files[0].bytes
    discard(first)
    assert [path for path in folder.rglob("*.parquet")] == []


def test_a_folder_of_other_things_is_left_alone(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.parquet").write_bytes(b"x")
    with pytest.raises(UsageError, match="is not empty"):
        stage(LocalStore(scenes), tmp_path)
    assert (tmp_path / "data/mine.parquet").exists()


def test_an_unfinished_dataset_is_refused(scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "copy")
    next((tmp_path / "copy/run/records").iterdir()).unlink()
    with pytest.raises(UsageError, match="is unfinished"):
        stage(LocalStore(tmp_path / "copy"), tmp_path / "s")


def test_a_disk_that_is_too_small_is_said_before(scenes, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stage_module, "SPARE_BYTES", 2**62)
    with pytest.raises(MachineError, match="--staging"):
        stage(LocalStore(scenes), tmp_path / "s")


def test_images_are_images(staged: Staged) -> None:
    for file in data_files(staged):
        table = pq.read_table(staged.folder / file)
        assert table.schema.field("image").type == IMAGE
        for row in table.to_pylist():
            picture = Image.open(io.BytesIO(row["image"]["bytes"]))
            assert picture.size == (row["width"], row["height"])
            assert row["image"]["path"] == Path(row["image"]["path"]).name


def test_memory_is_a_row_group_not_the_dataset(tmp_path: Path, monkeypatch) -> None:
    """Arrow's own pool says what was held at most; the rows are of several files' size."""
    monkeypatch.setattr(stage_module, "ROW_GROUP_BYTES", 2**20)
    peaks = []
    for shards in (4, 16):
        source = large_dataset(tmp_path / f"d{shards}", shards=shards, rows=8, row_bytes=100_000)
        peak = 0

        def watch(_: int) -> None:
            nonlocal peak
            peak = max(peak, pa.total_allocated_bytes())

        stage(LocalStore(source), tmp_path / f"s{shards}", advance=watch, max_file_bytes=3_000_000)
        peaks.append(peak)
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 8 * 2**20
