"""Which files are RAW captures, and what they are called."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from inscene.errors import UsageError
from inscene.raw.inputs import list_captures


@pytest.fixture
def shoot(tmp_path: Path) -> Path:
    folder = tmp_path / "shoot"
    names = ["b/1.CR3", "a/2.nef", "a/2.jpg", "a/2.xmp", "3.dng", ".hidden.dng", "a/._2.nef"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def ids(*sources: object) -> list[str]:
    return [entry.id for entry in list_captures([str(source) for source in sources])]


def test_raw_files_and_no_others(shoot: Path) -> None:
    assert ids(shoot) == ["3.dng", "a/2.nef", "b/1.CR3"]
    assert ids(f"{shoot}/") == ids(shoot)


def test_several_sources_are_told_apart(shoot: Path) -> None:
    assert ids(shoot / "a", shoot / "b") == ["a/2.nef", "b/1.CR3"]
    assert ids(shoot / "3.dng", shoot / "a") == ["3.dng", "a/2.nef"]
    with pytest.raises(UsageError, match="two sources are named 'a'"):
        ids(shoot / "a", shoot / "a")


def test_a_single_file_may_have_any_name(shoot: Path) -> None:
    assert ids(shoot / "a/2.jpg") == ["2.jpg"]


def test_what_is_no_source(shoot: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        ids(shoot / "none")
    (shoot / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no RAW files.*build gallery"):
        ids(shoot / "empty")


def test_urls() -> None:
    files = fsspec.filesystem("memory")
    try:
        for name in ("/raw/a/1.dng", "/raw/a/1.jpg", "/raw/2.arw"):
            files.pipe_file(name, b"x")
        assert ids("memory://raw") == ["2.arw", "a/1.dng"]
        assert ids("memory://raw/2.arw") == ["2.arw"]
        (one,) = list_captures(["memory://raw/2.arw"])
        assert one.file.endswith("raw/2.arw")
    finally:
        files.rm("/raw", recursive=True)
