"""The authors' CSV is read as it stands, and its mistakes are named by line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscene.errors import UsageError
from inscene.synthetic.prompts.authors_csv import CsvRow, read_authors_csv, repeats

REAL = Path(__file__).parents[3] / "shared/data/inscene/eval_prompts.csv"

TEXT = """\
prompt,identity,file_id
"First, full-body picture, by a ""green"" gate.",00289,11.png
"First, full-body picture, by a ""green"" gate.",00289,11.png
plain words,00070,3.png
"two
lines",00070,3.png
"First, full-body picture, by a ""green"" gate.",00289,11.png
"""


def read(tmp_path: Path, data: str | bytes) -> list[CsvRow]:
    path = tmp_path / "prompts.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_authors_csv(path)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_as_they_stand(tmp_path: Path, mark: bytes, end: str) -> None:
    rows = read(tmp_path, mark + TEXT.replace("\n", end).encode())
    gate = 'First, full-body picture, by a "green" gate.'
    assert rows == [
        CsvRow(gate, "00289", "11.png", 2),
        CsvRow(gate, "00289", "11.png", 3),
        CsvRow("plain words", "00070", "3.png", 4),
        CsvRow(f"two{end}lines", "00070", "3.png", 5),
        CsvRow(gate, "00289", "11.png", 7),
    ]


def test_rows_that_occur_again_are_repeats(tmp_path: Path) -> None:
    rows = read(tmp_path, TEXT)
    images = [(row.file_id, repeat) for row, repeat in repeats(rows)]
    assert images == [("11.png", 0), ("11.png", 1), ("3.png", 0), ("3.png", 0), ("11.png", 2)]
    threes = [(row.line, repeat) for row, repeat in repeats(rows, "rows3")]
    assert len(threes) == len(set(threes)) == 15
    assert [repeat for line, repeat in threes if line in (2, 3, 7)] == list(range(9))


def test_columns_in_another_order_and_more_of_them(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "file_id,note,identity,prompt\n0.png,x,00001,hello\n")
    assert row == CsvRow("hello", "00001", "0.png", 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1))
def test_any_prompt_survives(tmp_path_factory: pytest.TempPathFactory, prompts: list[str]) -> None:
    prompts = [f"x{prompt}" for prompt in prompts]
    path = tmp_path_factory.mktemp("csv") / "p.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "identity", "file_id"])
        writer.writerows([prompt, "00001", "0.png"] for prompt in prompts)
    assert [row.prompt for row in read_authors_csv(path)] == prompts


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("prompt,identity", "promt,identity"), 1, "has no column 'prompt'.*Did you mean 'promt'"),
        (("prompt,identity,file_id", "prompt;identity;file_id"), 1, "with commas"),
        (("prompt,identity,file_id", "prompt,prompt,identity,file_id"), 1, "2 columns 'prompt'"),
        (("plain words,00070", "plain words,00070,extra"), 4, "4 cells, where the header has 3"),
        (("plain words,", " ,"), 4, "prompt is empty"),
        (("words,00070", "words,"), 4, "identity is empty"),
        (("words,00070", "words, 00070"), 4, "blanks around"),
        (("words,00070", "words,../x"), 4, "not the name of a folder"),
        (("words,00070", "words,.."), 4, "not the name of a folder"),
        (("words,00070,3.png", "words,00070,../3.png"), 4, "leads out"),
        (("words,00070,3.png", "words,00070,/3.png"), 4, "leads out"),
        (("words,00070,3.png", "words,00070,3"), 4, "not named like an image"),
        (('lines"', 'lines"x'), 5, "not valid CSV"),
        (('lines"', "lines"), 5, "not valid CSV"),
    ],
)
def test_mistakes_name_the_line(tmp_path, change, line, words) -> None:
    assert change[0] in TEXT
    with pytest.raises(UsageError, match=words) as caught:
        read(tmp_path, TEXT.replace(*change))
    assert caught.value.where == f"{tmp_path / 'prompts.csv'}:{line}"


def test_many_mistakes_are_told_at_once(tmp_path: Path) -> None:
    bad = TEXT.replace(".png", "")
    with pytest.raises(UsageError) as caught:
        read(tmp_path, bad)
    assert "prompts.csv:2: file_id '11'" in str(caught.value)
    assert "Line 3: file_id '11'" in str(caught.value)
    assert "2 more rows are wrong" in str(caught.value)


def test_what_is_no_csv(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no rows"):
        read(tmp_path, "prompt,identity,file_id\n")
    with pytest.raises(UsageError, match="holds no rows"):
        read(tmp_path, "")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path, b"prompt,identity,file_id\n\xff,00001,0.png\n")
    with pytest.raises(UsageError, match="cannot be read"):
        read_authors_csv(tmp_path)


@pytest.mark.skipif(not REAL.is_file(), reason="the authors' CSV is not on this machine")
def test_the_authors_own_file() -> None:
    rows = read_authors_csv(REAL)
    assert len(rows) == len(list(repeats(rows))) == 1329
    assert len(list(repeats(rows, "rows3"))) == 3987
    assert len({row.identity for row in rows}) == 100
    assert len({(row.identity, row.file_id) for row in rows}) == 391
    assert len({(row.identity, row.file_id, row.prompt) for row in rows}) == 479
    assert max(repeat for _, repeat in repeats(rows)) == 6
    assert all(len(row.identity) == 5 for row in rows)
    with REAL.open(encoding="utf-8", newline="") as file:
        assert [row.prompt for row in rows] == [row["prompt"] for row in csv.DictReader(file)]
