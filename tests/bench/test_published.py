"""The paper's tables round-trip: what is printed is what was published."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from inscene.bench.leaderboard import load_published, render_published
from inscene.bench.leaderboard.published import MISPRINTS, WINS, misprints, nearest
from inscene.bench.leaderboard.ranking import Mark
from inscene.errors import UsageError
from inscene.shipped import shipped_folder

ROWS = list(
    csv.DictReader((shipped_folder("benchmarks") / "published.csv").read_text("utf-8").splitlines())
)
TABLES = list(dict.fromkeys(row["table"] for row in ROWS))


def test_all_606_values_are_here() -> None:
    assert len(ROWS) == 606
    assert TABLES == ["1", "2", "3", "4", "5", "6", "8", "9", "10", "11", "12",
                      "sec4.2-complexity"]  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("format_", ["table", "markdown", "csv", "json", "latex", "html"])
def test_every_value_is_printed_verbatim(table: str, format_) -> None:
    text = render_published(load_published(table), format_)
    for row in ROWS:
        if row["table"] == table:
            assert row["value"] in text


@pytest.mark.parametrize("table", TABLES)
def test_csv_gives_the_values_back(table: str) -> None:
    printed = csv.DictReader(io.StringIO(render_published(load_published(table), "csv")))
    assert sorted(row["mean"] for row in printed) == sorted(
        row["value"] for row in ROWS if row["table"] == table
    )


def test_wins_of_table_3_follow_from_its_numbers() -> None:
    (block,) = load_published("table3")
    counted = {method: str(won) for method, won in block.wins().items()}
    assert counted == {row.method: row.values[WINS] for row in block.rows}
    assert sorted(counted.values()) == ["0/10", "10/10", "2/10", "2/9", "7/9", "8/10"]
    for pair in block.groups:  # of each pair one is best, on every metric
        for metric in block.metrics:
            have = [row.method for row in pair if metric in row.values]
            best = [one for one in have if block.marks(metric).get(one) is Mark.best]
            assert len(best) == len(have) / 2


def marked(table: str, dataset: str, metric: str) -> tuple[str, str]:
    (block,) = [one for one in load_published(table) if dataset in one.dataset]
    found = {mark: method for method, mark in block.marks(metric).items()}
    return found[Mark.best], found[Mark.second]


@pytest.mark.parametrize(
    ("table", "dataset", "metric", "best", "second"),
    [
        ("2", "Synthetic", "DISTS", "Face2Scene", "S3Diff"),
        ("2", "Synthetic", "LPIPS", "Face2Scene", "S3Diff"),
        ("2", "Synthetic", "PSNR", "PASD", "ResShift"),
        ("2", "Synthetic", "SSIM", "SUPIR", "OSEDiff"),
        ("2", "Synthetic", "FID", "Face2Scene", "S3Diff"),
        ("2", "Synthetic", "MUSIQ", "Face2Scene", "S3Diff"),
        ("2", "Synthetic", "CLIP-IQA", "Face2Scene", "SinSR"),
        ("2", "Synthetic", "MANIQA", "DiffBIR", "Face2Scene"),
        ("2", "Synthetic", "LIQE", "Face2Scene", "S3Diff"),
        ("2", "Synthetic", "TOPIQ", "Face2Scene", "DiffBIR"),
        ("2", "Real", "PSNR", "Face2Scene", "PASD"),
        ("2", "Real", "SSIM", "Face2Scene", "PASD"),
        ("2", "Real", "FID", "S3Diff", "Face2Scene"),
        ("2", "Real", "CLIP-IQA", "Face2Scene", "SinSR"),
        ("2", "Real", "MANIQA", "Face2Scene", "InvSR"),
        ("4", "Test", "MUSIQ", "Face2Scene", "InvSR"),
        ("4", "Test", "CLIP-IQA", "DiffBIR", "Face2Scene"),
        ("4", "Test", "MANIQA", "DiffBIR", "SinSR"),
        ("4", "Test", "LIQE", "Face2Scene", "OSEDiff"),
        ("4", "Test", "TOPIQ", "Face2Scene", "DiffBIR"),
    ],
)
def test_best_and_second_follow_from_the_numbers(table, dataset, metric, best, second) -> None:
    assert marked(table, dataset, metric) == (best, second)


def test_the_misprint_of_table_8_is_flagged() -> None:
    (misprint,) = MISPRINTS
    assert marked(misprint.table, misprint.dataset, misprint.metric)[1] == "S3Diff"
    assert misprint.shaded == "S3Diff**"
    synthetic, real = load_published("8")
    assert misprints(synthetic) == []
    (words,) = misprints(real)
    assert words in render_published([real], "table")
    assert "S3Diff** (0.6613)" in words
    assert "S3Diff (0.6627)" in words


def test_tables_by_any_of_their_names() -> None:
    assert load_published("2") == load_published("table2") == load_published("Table 2")
    for name in ("7", "13", "tabel2", ""):
        with pytest.raises(UsageError, match="no published table"):
            load_published(name)


@pytest.mark.parametrize(
    ("suite", "datasets"),
    [
        ("inscene-synthetic-val", ["InScene Synthetic Validation"]),
        ("inscene-real-val", ["InScene Real Validation"]),
        ("pairs", ["InScene Synthetic Validation", "InScene Real Validation"]),
    ],
)
def test_rows_are_those_of_the_nearest_dataset(suite: str, datasets: list[str]) -> None:
    assert [block.dataset for block in nearest(load_published("2"), suite)] == datasets


def test_the_command(inscene, tmp_path: Path) -> None:
    assert "Face2Scene (1 step)" in inscene("leaderboard", "--published", "table2").stdout
    out = tmp_path / "table.tex"
    inscene("leaderboard", "--published", "4", "--format", "latex", "--out", out)
    assert out.read_text().count(r"\cellcolor{inscenebest}") == 5
    for arguments, words in (
        (["--published", "7"], "no published table '7'"),
        (["results", "--published", "2"], "--with-published"),
        ([], "no results to rank"),
        (["results", "--against", "old", "--baseline", "x"], "ranks nothing"),
    ):
        assert words in inscene("leaderboard", *arguments, code=2).stderr
