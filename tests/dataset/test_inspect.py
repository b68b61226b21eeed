"""``inspect`` on any kind of dataset: what it counts, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic_photos import synthetic_photo

from inscene.dataset.distribution import BINS, Gathering
from inscene.dataset.inspect import open_table, survey
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import UsageError
from inscene.recipe import load_recipe
from inscene.schema import KINDS


def numbers(values: list[Any]) -> Any:
    found = Gathering(values).distribution().numbers
    assert found is not None
    assert sum(found.counts) == found.count
    assert len(found.edges) == len(found.counts) + 1
    return found


def test_floats_have_equal_bins_from_the_least_to_the_greatest() -> None:
    found = numbers([0.0, 0.1, 0.1, 5.0, 10.0])
    assert found.edges[0] == 0
    assert found.edges[-1] == 10
    assert len(found.counts) == BINS
    assert (found.counts[0], found.counts[10], found.counts[-1]) == (3, 1, 1)
    assert (found.min, found.median, found.max) == (0, 0.1, 10)
    assert found.mean == pytest.approx(3.04)
    assert found.sd == pytest.approx(
        math.sqrt(sum((v - 3.04) ** 2 for v in (0, 0.1, 0.1, 5, 10)) / 5)
    )


def test_whole_numbers_have_a_bin_each() -> None:
    """Kernel sizes are odd: no bin is empty because no size is even."""
    found = numbers([7, 9, 9, 21, 13])
    assert found.edges == (6, 8, 10, 12, 14, 16, 18, 20, 22)
    assert found.counts == (1, 2, 0, 1, 0, 0, 0, 1)
    assert len(numbers([0, 1, 10_000]).counts) == BINS


def test_extremes_of_floats() -> None:
    assert numbers([2.5, 2.5]).edges == (2.5, 2.5)
    assert numbers([1.0, math.nextafter(1, 2)]).counts == (2,)
    assert numbers([-1e100, 1e100]).count == 2


def test_words_beside_numbers() -> None:
    values = [256, "auto", "auto", None, True, math.nan, -math.inf]
    found = Gathering(values).distribution()
    assert found.numbers is not None
    assert found.numbers.count == 1
    assert found.words == {"auto": 2, "-inf": 1, "nan": 1, "null": 1, "true": 1}
    assert found.count == 7
    assert found.constant is None
    assert found.to_json()["counts"]["auto"] == 2
    assert found.to_json()["histogram"] == {"edges": [256, 256], "counts": [1]}
    assert Gathering().distribution().to_json() == {"counts": {}}


@pytest.mark.parametrize(("values", "constant"), [([4, 4], 4), (["a"], "a"), ([1, 2], None)])
def test_constants(values: list[Any], constant: object) -> None:
    assert Gathering(values).distribution().constant == constant


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows as the data files of a dataset of a kind, two rows a row group."""

    def write(kind: str, *files: list[dict[str, Any]]) -> Path:
        (tmp_path / "made/data").mkdir(parents=True)
        for index, rows in enumerate(files):
            table = pa.Table.from_pylist(rows, schema=KINDS[kind].schema)
            pq.write_table(table, tmp_path / f"made/data/{index}.parquet", row_group_size=2)
        return tmp_path / "made"

    return write


def test_scenes(write: Write) -> None:
    rows = [
        {
            "sample_id": str(index),
            "split": "val" if index else "train",
            "source": "album",
            "width": 640,
            "height": 480 + index // 4,
            "identity": "anna" if index < 3 else None,
            "face_score": None if index else 0.5,
            "scores": {"musiq": 50.0 + index},
        }
        for index in range(5)
    ]
    found = survey(open_table(str(write("scenes", rows[:3], rows[3:]))))
    assert (found.kind, found.rows, found.samples, found.unfinished) == ("scenes", 5, 5, 0)
    assert found.sizes == {"640×480": 4, "640×481": 1}
    assert found.counts == {
        "split": {"val": 4, "train": 1},
        "source": {"album": 5},
        "identity": {"anna": 3},
    }
    assert set(found.numbers) == {"width", "height", "face_score", "scores.musiq"}
    assert found.to_json()["numbers"]["scores.musiq"]["median"] == 52
    assert found.to_json()["numbers"]["face_score"]["count"] == 1


def test_a_clean_image_counts_once_whatever_its_versions(write: Write) -> None:
    rows = [
        {"sample_id": name, "version": version, "width": 8, "height": 4}
        for name in ("a", "b")
        for version in range(3)
    ]
    found = survey(open_table(str(write("pairs", rows))))
    assert (found.rows, found.samples, found.sizes) == (6, 2, {"8×4": 2})


def test_results_have_a_distribution_for_each_metric(write: Write) -> None:
    rows = [
        {"sample_id": f"{index}", "method": "m", "metric": metric, "value": value, "status": status}
        for index in range(2)
        for metric, value, status in (("psnr", 20.0 + index, "ok"), ("ssim", None, "too_small"))
    ]
    found = survey(open_table(str(write("results", rows))))
    assert found.kind == "results"
    assert found.counts["status"] == {"ok": 2, "too_small": 2}
    assert found.numbers["value.psnr"].to_json()["mean"] == 20.5
    assert "value.ssim" not in found.numbers


def test_rows_at_positions(write: Write) -> None:
    rows = [{"sample_id": str(index)} for index in range(9)]
    table = open_table(str(write("scenes", rows[:5], rows[5:])))
    for positions in ([], [0], [8], [1, 2, 4, 5, 8], list(range(9))):
        found = [row["sample_id"] for row in table.rows_at(positions, ["sample_id"])]
        assert found == [str(position) for position in positions]


@pytest.mark.parametrize("inner", ["", "data", "data/0.parquet"])
def test_a_download_without_its_run_folder(inner: str, write: Write) -> None:
    location = write("scenes", [{"sample_id": "a"}]) / inner
    assert survey(open_table(str(location))).rows == 1


@pytest.fixture(scope="module")
def ran(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rows in 3 shards."""
    out = tmp_path_factory.mktemp("ran") / "scenes"
    recipe, source = load_recipe("photos", ["shard_rows=10"])
    engine.run(engine.plan(build(recipe, source), [str(photo_folder)], str(out)))
    return out


def test_an_unfinished_dataset_shows_what_is_done(ran: Path, tmp_path: Path) -> None:
    import shutil

    assert survey(open_table(str(ran))).rows == 24
    out = tmp_path / "out"
    shutil.copytree(ran, out)
    records = sorted((out / "run/records").iterdir())
    records[0].unlink()
    found = survey(open_table(str(out)))
    assert found.unfinished == 1
    assert found.rows in (14, 20)
    for record in records[1:]:
        record.unlink()
    with pytest.raises(UsageError, match="no finished shard"):
        open_table(str(out))


def text_file(folder: Path) -> Path:
    (folder / "notes.txt").write_text("hello")
    return folder / "notes.txt"


def photos(folder: Path) -> Path:
    synthetic_photo(0, 20, 20).save(folder / "a.png")
    return folder


def folder_of_datasets(folder: Path) -> Path:
    for name in ("one", "two"):
        (folder / name / "run").mkdir(parents=True)
        (folder / name / "run/recipe.json").write_text("{}")
    return folder


def no_parquet(folder: Path) -> Path:
    (folder / "a.parquet").write_bytes(b"PAR1 but not really")
    return folder


def other_columns(folder: Path) -> Path:
    pq.write_table(pa.table({"caption": ["x"]}), folder / "a.parquet")
    return folder


def unknown_kind(folder: Path) -> Path:
    (folder / "run").mkdir()
    (folder / "run/recipe.json").write_text('{"makes": "songs"}')
    return folder


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nowhere", ["nowhere", "no such file"]),
        (lambda folder: folder / "gone.parquet", ["gone.parquet", "no such file"]),
        (lambda folder: folder, ["no dataset", "no Parquet file", "--out"]),
        (text_file, ["notes.txt", "no dataset"]),
        (photos, ["images and no dataset", "inscene build gallery"]),
        (folder_of_datasets, ["2 datasets", "one", "two", "Name one"]),
        (no_parquet, ["a.parquet", "cannot be read", "inscene verify"]),
        (other_columns, ["caption", "Pairs have lq and hq"]),
        (unknown_kind, ["unknown kind 'songs'"]),
    ],
)
def test_what_cannot_be_inspected(
    make: Callable[[Path], Path], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        open_table(str(make(tmp_path)))
    for word in words:
        assert word in str(caught.value)


def test_damage_inside_a_file(write: Write) -> None:
    made = write("scenes", [{"sample_id": "x" * 50, "prompt": "y" * 500}])
    file = made / "data/0.parquet"
    data = bytearray(file.read_bytes())
    data[4:60] = bytes(56)  # the first column's page; the footer stays
    file.write_bytes(data)
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        survey(open_table(str(made)))
