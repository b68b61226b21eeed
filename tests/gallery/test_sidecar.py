"""Licence, consent and motion blur from a file beside the photos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from synthetic_photos import synthetic_photo

from inscene.dataset.sources import list_inputs, read_inputs
from inscene.errors import SampleError, UsageError
from inscene.gallery.inputs import Rights
from inscene.gallery.sidecar import find_sidecar, read_sidecar, said_of, whole_folder

ENTRIES = [
    {"path": ".", "licence": "CC0-1.0"},
    {"path": "anna", "consent": "written, 2025"},
    {"path": "anna/1.jpg", "licence": "CC-BY-4.0", "motion_blur": True},
]


def as_csv(entries: list[dict[str, object]]) -> str:
    keys = ["path", "licence", "consent", "motion_blur"]
    rows = [",".join(f'"{entry.get(key, "")}"' for key in keys) for entry in entries]
    return "\n".join([",".join(keys), *rows]) + "\n"


FORMS = {
    "sidecar.csv": as_csv(ENTRIES),
    "sidecar.json": json.dumps(ENTRIES),
    "sidecar.yaml": yaml.safe_dump(
        {entry["path"]: {k: v for k, v in entry.items() if k != "path"} for entry in ENTRIES}
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_nearest_entry_counts_value_by_value(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FORMS[name], encoding="utf-8-sig" if "csv" in name else "utf-8")
    file = find_sidecar(tmp_path)
    assert file is not None
    sidecar = read_sidecar(file)
    assert sidecar.of("bert/1.jpg") == {"licence": "CC0-1.0"}
    assert sidecar.unused == ["anna", "anna/1.jpg"]
    assert sidecar.of("anna/2.jpg") == {"licence": "CC0-1.0", "consent": "written, 2025"}
    assert sidecar.of("anna/1.jpg") == {
        "licence": "CC-BY-4.0",
        "consent": "written, 2025",
        "motion_blur": True,
    }
    assert sidecar.unused == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("s.csv", "path,licence\na.jpg,CC0,more\n", "another number of fields"),
        ("s.csv", "", "a header is needed"),
        ("s.csv", "path,licence\na.jpg,CC0\na.jpg,MIT\n", "a second entry"),
        ("s.csv", "path,licens\na.jpg,CC0\n", "licence"),
        ("s.csv", "licence\nCC0\n", "has no path"),
        ("s.csv", "path,motion_blur\na.jpg,perhaps\n", "yes or no"),
        ("s.json", "{", "cannot be read"),
        ("s.json", "[1]", "neither a list"),
        ("s.json", '{"a": 1}', "neither a list"),
        ("s.yaml", "a.jpg: {licence: no}", "Quote it"),
        ("s.yaml", "a.jpg: {licence: 4.0}", "Quote it"),
        ("s.yaml", "a: !!python/object/apply:os.system [ls]", "cannot be read"),
        ("s.yaml", "- {path: ../a.jpg}", "leads out"),
        ("s.yaml", "- {path: /a.jpg}", "no relative path"),
        ("s.yaml", "- {path: 3}", "no relative path"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        read_sidecar(file)
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(b"path\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        read_sidecar(tmp_path / "s.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        read_sidecar(tmp_path / "none.csv")


def test_two_sidecars_are_one_too_many(tmp_path: Path) -> None:
    for name in ("sidecar.csv", "sidecar.yaml"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="Leave one"):
        find_sidecar(tmp_path)


def test_who_has_the_last_word() -> None:
    whole = whole_folder("MIT", None)
    assert said_of("a", None, {}, whole) == {"licence": "MIT"}
    assert said_of("a", None, {"licence": "unknown"}, whole) == {"licence": "MIT"}
    assert said_of("a", None, {"licence": "CC0"}, whole) == {"licence": "CC0"}
    with pytest.raises(UsageError, match="--consent is empty"):
        whole_folder(None, " ")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for index, name in enumerate(["one/anna/1.jpg", "one/2.jpg", "two/anna/1.jpg"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        synthetic_photo(index, 40, 30).save(path)
    (tmp_path / "one" / "sidecar.json").write_text('{"anna": {"licence": "CC0", "consent": "yes"}}')
    return [tmp_path / "one", tmp_path / "two"]


def described(folders: list[Path], rights: Rights) -> dict[str, dict[str, object]]:
    sources = [str(folder) for folder in folders]
    inputs = rights.described(list_inputs(sources), sources, people=True)
    found = {}
    for entry, columns in read_inputs(inputs):
        assert not isinstance(columns, SampleError)
        found[entry.id] = {k: columns.get(k) for k in ("licence", "consent", "identity")}
    return found


def test_each_folder_has_its_own_sidecar(folders: list[Path]) -> None:
    said = described(folders, Rights(licence="MIT"))
    assert said == {
        "one/2.jpg": {"licence": "MIT", "consent": None, "identity": None},
        "one/anna/1.jpg": {"licence": "CC0", "consent": "yes", "identity": "anna"},
        "two/anna/1.jpg": {"licence": "MIT", "consent": None, "identity": "anna"},
    }


def test_a_sidecar_that_is_named_speaks_of_sample_ids(folders: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "rights.csv"
    file.write_text("path,consent\ntwo/anna,yes\nthree,no\n")
    rights = Rights(sidecar=file)
    said = described(folders, rights)
    assert [one["consent"] for one in said.values()] == [None, None, "yes"]
    assert rights.notes() == [f"{file}: no photo here is 'three'"]


def test_what_is_said_is_part_of_the_state(folders: list[Path]) -> None:
    """A run that is resumed must not mix two licences."""
    source = [str(folders[1])]
    states = {
        Rights(licence=licence).described(list_inputs(source), source)[0].state
        for licence in (None, "MIT", "CC0")
    }
    assert len(states) == 3
