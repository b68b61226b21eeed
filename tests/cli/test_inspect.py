"""``inscene inspect``, as a user types it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from inscene.cli.app import app
from inscene.cli.bars import Painter
from inscene.dataset.distribution import Gathering
from inscene.schema import PAIRS


@pytest.fixture(scope="module")
def pairs(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory, inscene) -> Path:
    """Six pairs of two clean images."""
    out = tmp_path_factory.mktemp("inspect") / "pairs"
    inscene("degrade", photo_folder, "--limit", "2", "--versions", "3", "--out", out)
    return out


def shown(*arguments: str | Path, columns: int = 80) -> str:
    """In this process, which is faster; the output is no terminal."""
    done = CliRunner().invoke(app, ["inspect", *map(str, arguments)], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_nothing_is_wider_than_the_terminal(columns: int) -> None:
    """Whatever the names are; a name that leaves no room for its numbers has its own line."""
    text = io.StringIO()
    painter = Painter(Console(file=text, width=columns))
    long = "effective." + "long." * 20 + "name"
    values = Gathering([-1.2345e-7, 1.5e12, 3.0, 4.0]).distribution()
    painter.numbers({"short": values, "middling." * 3 + "name": values, long: values})
    painter.words({"大きな" * 30: 1_000_000, "a\nb[bold]": 1} | {str(n): 1 for n in range(30)})
    painter.listing(["x" * 30, "y" * 30, "z" * 30, "1"])
    lines = text.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= columns
    assert sum("1.5e+12" in line for line in lines) == 3
    assert any("a�b[bold]" in line for line in lines)
    assert any("(24 others)" in line for line in lines)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_pairs_at_any_width(columns: int, pairs: Path, monkeypatch) -> None:
    monkeypatch.chdir(pairs.parent)
    text = shown("pairs", columns=columns)
    assert max(map(cell_len, text.splitlines())) <= columns
    for words in (
        "pairs: pairs · 6 rows · 2 clean images",
        "6 distinct, none shared",
        "s3diff (6)",
        "first.blur.sigma_x",
        "first.resize.filter",
        "first.noise[*].kind",
        "effective.first.size[0]",
        "PSNR of the LQ",
        "all 6 rows",
        "█",
    ):
        assert words in " ".join(text.split()), words


def test_json_agrees_with_the_rows(pairs: Path, inscene) -> None:
    done = inscene("inspect", pairs, "--sample", "4", "--json")
    found = json.loads(done.stdout)
    rows = pq.read_table(pairs / "data").to_pylist()
    records = [json.loads(row["operator"])["operator"] for row in rows]
    assert (found["kind"], found["rows"], found["samples"]) == ("pairs", 6, 2)
    parameters = found["operators"]["parameters"]
    qualities = sorted(record["first"]["jpeg"]["quality"] for record in records)
    quality = parameters["first.jpeg.quality"]
    assert (quality["min"], quality["max"]) == (qualities[0], qualities[-1])
    assert quality["median"] == pytest.approx((qualities[2] + qualities[3]) / 2)
    assert sum(quality["histogram"]["counts"]) == 6
    filters = [record["first"]["resize"]["filter"] for record in records]
    assert parameters["first.resize.filter"]["counts"] == {
        name: filters.count(name) for name in set(filters)
    }
    assert found["psnr"]["looked_at"] == found["psnr"]["psnr_db"]["count"] == 4
    assert 5 < found["psnr"]["psnr_db"]["min"] < 60


def test_ascii_output(pairs: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inscene", "inspect", pairs, "--sample", "0"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"###" in done.stdout
    assert b"PSNR" not in done.stdout


def test_a_pair_without_its_image_is_an_error_of_that_pair(tmp_path: Path, inscene) -> None:
    table = pa.Table.from_pylist([{"sample_id": "a", "version": 0}], schema=PAIRS.schema)
    pq.write_table(table, tmp_path / "pairs.parquet")
    done = inscene("inspect", tmp_path / "pairs.parquet", code=1)
    assert "no PSNR for 1 row: image_bytes_missing" in done.stdout
    assert "without a record: 1 row" in done.stdout


def test_bad_input(tmp_path: Path, inscene) -> None:
    done = inscene("inspect", tmp_path / "nowhere", code=2)
    assert "no such file or folder" in done.stderr
    assert done.stdout == ""


def test_a_page(pairs: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "page.html"
    assert "6 pictures" in shown(pairs, "--html", target, "--sample", "2")
    text = target.read_text("utf-8")
    assert "What was drawn" in text
    assert "PSNR of the LQ" in text
    assert text.count('class="tag">LQ') == 6
    told = json.loads(shown(pairs, "--html", target, "--sample", "0", "--json"))
    assert (told["page"], told["rows"], told["pictures"]) == (str(target), 6, 6)


def test_a_page_is_html(pairs: Path, tmp_path: Path, inscene) -> None:
    done = inscene("inspect", pairs, "--html", tmp_path / "page.png", code=2)
    assert "Name it NAME.html" in done.stderr
