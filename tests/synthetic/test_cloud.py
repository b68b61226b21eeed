"""Tags counted over a dataset, as a table and as a picture."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from inscene.cli.app import app
from inscene.dataset.inspect import open_table
from inscene.errors import MachineError, UsageError
from inscene.schema import SCENES
from inscene.synthetic.tags.cloud import as_csv, count_tags, write_cloud

TAGGED: list[list[str] | None] = [
    ["tree", "person", "bench"],
    ["person", "Tree", "tree "],
    ["person", 'red, "old" boat'],
    [],
    None,
]


def dataset(folder: Path, tagged: list[list[str] | None]) -> Path:
    rows = [
        {"sample_id": str(index), "image": {"bytes": b"", "path": "x.png"}, "tags": tags}
        for index, tags in enumerate(tagged)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCENES.schema), folder / "x.parquet")
    return folder


def read(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_an_image_counts_once() -> None:
    found = count_tags({"tags": tags} for tags in TAGGED)
    assert (found.images, found.untagged) == (4, 1)
    assert list(found.counts.items()) == [
        ("person", 3), ("tree", 2), ("bench", 1), ('red, "old" boat', 1),
    ]  # fmt: skip


@given(
    st.lists(
        st.none() | st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"))),
        max_size=8,
    )
)
def test_the_table_reads_back(tagged: list[list[str] | None]) -> None:
    found = count_tags({"tags": tags} for tags in tagged)
    head, *rows = list(csv.reader(io.StringIO(as_csv(found), newline="")))
    assert head == ["tag", "images", "share", "in_cloud"]
    assert {row[0]: int(row[1]) for row in rows} == found.counts
    assert all(0 < float(row[2]) <= 1 for row in rows)
    counts = [int(row[1]) for row in rows]
    assert counts == sorted(counts, reverse=True)


@pytest.fixture(scope="module")
def _package() -> None:
    pytest.importorskip("wordcloud")


@pytest.mark.usefixtures("_package")
class TestPicture:
    def test_cloud_and_table(self, tmp_path: Path) -> None:
        table = open_table(str(dataset(tmp_path / "data", TAGGED)))
        write_cloud(table, tmp_path / "new" / "cloud.png", ["Person", " bench"])
        assert read(tmp_path / "new" / "tags.csv") == [
            ["tag", "images", "share", "in_cloud"],
            ["person", "3", "0.750000", "0"],
            ["tree", "2", "0.500000", "1"],
            ["bench", "1", "0.250000", "0"],
            ['red, "old" boat', "1", "0.250000", "1"],
        ]
        picture = np.asarray(Image.open(tmp_path / "new" / "cloud.png"))
        assert picture.shape == (900, 1600, 3)
        inked = (picture < 250).any(-1).mean()
        assert 0.02 < inked < 0.9

    def test_the_same_dataset_gives_the_same_picture(self, tmp_path: Path) -> None:
        tagged = [[f"word {index}" for index in range(n)] for n in range(1, 30)]
        table = open_table(str(dataset(tmp_path / "data", [*tagged])))
        for name in ("a.png", "b.png"):
            np.random.seed(len(name))
            write_cloud(table, tmp_path / name)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        write_cloud(table, tmp_path / "c.png", ["word 0"])
        assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()

    def test_the_command(self, tmp_path: Path) -> None:
        folder = dataset(tmp_path / "data", TAGGED)
        cloud = tmp_path / "cloud.png"
        arguments = ["inspect", str(folder), "--cloud", str(cloud), "--leave-out", "person, man"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert "4 tags of 4 images" in done.stdout
        assert "without tags: 1" in done.stdout
        assert read(tmp_path / "tags.csv")[1] == ["person", "3", "0.750000", "0"]
        done = CliRunner().invoke(app, [*arguments, "--json"])
        assert json.loads(done.stdout) == {
            "cloud": str(cloud),
            "table": str(tmp_path / "tags.csv"),
            "images": 4,
            "untagged": 1,
            "tags": 4,
        }


def test_without_the_package_there_is_still_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wordcloud", None)
    table = open_table(str(dataset(tmp_path / "data", TAGGED)))
    with pytest.raises(MachineError, match=r"tags\.csv is written") as caught:
        write_cloud(table, tmp_path / "cloud.png")
    assert "pip install wordcloud" in str(caught.value)
    assert len(read(tmp_path / "tags.csv")) == 5
    assert not (tmp_path / "cloud.png").exists()


def test_what_cannot_be_a_cloud(tmp_path: Path) -> None:
    tagged = open_table(str(dataset(tmp_path / "tagged", TAGGED)))
    with pytest.raises(UsageError, match="PNG file"):
        write_cloud(tagged, tmp_path / "cloud.jpg")
    with pytest.raises(UsageError, match="every tag"):
        write_cloud(tagged, tmp_path / "cloud.png", ["person", "tree", "bench", 'red, "old" boat'])
    for untagged in ([None, None], [[], None]):
        table = open_table(str(dataset(tmp_path / "untagged", untagged)))
        with pytest.raises(UsageError, match="no tags"):
            write_cloud(table, tmp_path / "cloud.png")
    image = {"bytes": b"", "path": "a.png"}
    pairs = [{"sample_id": "a", "lq": image, "hq": image}]
    pq.write_table(pa.Table.from_pylist(pairs), tmp_path / "pairs.parquet")
    with pytest.raises(UsageError, match="pairs, and no scenes"):
        write_cloud(open_table(str(tmp_path / "pairs.parquet")), tmp_path / "cloud.png")
