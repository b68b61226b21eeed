"""Tables of path and identity."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic_photos import synthetic_photo

from inscene.dataset.sources import read_inputs
from inscene.errors import SampleError, UsageError
from inscene.gallery.inputs import Rights, gallery_inputs
from inscene.gallery.table import is_table, list_table


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for index, name in enumerate(["a.jpg", "b.jpg", "deep/c.jpg"]):
        synthetic_photo(index, 40, 30).save(folder / name)
    synthetic_photo(9, 40, 30).save(tmp_path / "outside.jpg")
    return folder


ROWS: list[dict[str, Any]] = [
    {"path": "a.jpg", "identity": "anna", "split": "val", "licence": "CC0", "more": 1},
    {"path": "./deep/c.jpg", "identity": "bert", "split": None, "licence": None, "more": 2},
    {"path": "b.jpg", "identity": None, "split": None, "licence": None, "more": 3},
    {"path": "gone.jpg", "identity": "anna", "split": None, "licence": None, "more": 4},
]


def written(folder: Path, form: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    file = folder / f"people.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    else:
        lines = [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
        file.write_text("\n".join([",".join(rows[0]), *lines]) + "\n")
    return file


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_each_row_is_an_input(photos: Path, form: str) -> None:
    table = written(photos, form)
    assert is_table(str(table))
    found = {}
    for entry, columns in read_inputs(gallery_inputs([str(table)], [], Rights(consent="yes"))):
        said = columns.reason if isinstance(columns, SampleError) else columns
        found[entry.id] = (entry.split, said)
    assert list(found) == ["a.jpg", "b.jpg", "deep/c.jpg", "gone.jpg"]
    assert found["gone.jpg"] == (None, "file_missing")
    assert found["a.jpg"][0] == "val"
    first, second, third = (found[name][1] for name in ("a.jpg", "b.jpg", "deep/c.jpg"))
    assert (first["identity"], first["licence"], first["consent"]) == ("anna", "CC0", "yes")
    assert "identity" not in second
    assert third["identity"] == "bert"  # and not the folder, which says nothing here
    assert first["source"] == "people"


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    "path",
    ["../outside.jpg", "deep/../../outside.jpg", "{tmp}/outside.jpg", "file:///etc/passwd", "",
     "~/x.jpg", "https://a.b/c.jpg", "link.jpg", "folder/outside.jpg", "deep\\c.jpg"],
)  # fmt: skip
def test_nothing_beyond_the_folder_is_opened(
    photos: Path, tmp_path: Path, form: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.symlink(tmp_path / "outside.jpg", photos / "link.jpg")
    os.symlink(tmp_path, photos / "folder")
    rows = [{"path": "a.jpg", "identity": "anna"},
            {"path": path.format(tmp=tmp_path), "identity": "x"}]  # fmt: skip
    table = written(photos, form, rows)
    opened: list[str] = []
    open_ = io.open

    def watched(file: Any, *more: Any, **options: Any) -> Any:
        opened.append(str(file))
        return open_(file, *more, **options)

    monkeypatch.setattr("builtins.open", watched)
    with pytest.raises(UsageError) as error:
        list_table(str(table))
    assert f"{table}: " in str(error.value)
    assert not any("outside" in name or "passwd" in name for name in opened)


def test_a_link_inside_the_folder_is_followed(photos: Path) -> None:
    os.symlink("deep/c.jpg", photos / "link.jpg")
    table = written(photos, "csv", [{"path": "link.jpg", "identity": "anna"}])
    ((_, columns),) = read_inputs(list_table(str(table)))
    assert not isinstance(columns, SampleError)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"path": "a.jpg", "person": "x"}], "'identity'"),
        ([{"file": "a.jpg", "identity": "x"}], "'path'"),
        ([{"path": "a.jpg", "identity": "x"}, {"path": "./a.jpg", "identity": "y"}], "twice"),
    ],
)
def test_mistakes_are_named(photos: Path, rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list_table(str(written(photos, "csv", rows)))


def test_what_is_no_table(photos: Path, tmp_path: Path) -> None:
    with_images = tmp_path / "images.parquet"
    pq.write_table(pa.table({"path": ["/etc/passwd"], "identity": ["x"], "image": [b"x"]}),
                   with_images)  # fmt: skip
    assert not is_table(str(with_images))  # its cells have the bytes: the path is never opened
    assert not is_table(str(photos))
    assert not is_table("hf://datasets/a/b/x.parquet")
    with pytest.raises(UsageError, match="this machine only"):
        list_table("https://a.b/people.csv")
    with pytest.raises(UsageError, match="no such file"):
        list_table(str(tmp_path / "none.csv"))
    table = written(photos, "csv")
    with pytest.raises(UsageError, match="named alone"):
        gallery_inputs([str(table), str(photos)], [], Rights())
