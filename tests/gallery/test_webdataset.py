"""Tars of images, as img2dataset writes them and as somebody might who means harm."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_photos import synthetic_photo
from tar_files import claiming, sample, special, tar_bytes, write_tar
from typer.testing import CliRunner

from inscene.cli.app import app
from inscene.dataset import webdataset
from inscene.dataset.sources import list_inputs, read_inputs
from inscene.errors import SampleError, UsageError
from inscene.images.rules import Limits


def jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    synthetic_photo(seed, 64, 48).save(file, "JPEG")
    return file.getvalue()


PHOTOS = [jpeg(seed) for seed in range(4)]


def rows_of(*sources: Path) -> dict[str, dict[str, Any] | SampleError]:
    return {entry.id: row for entry, row in read_inputs(list_inputs([str(one) for one in sources]))}


def reasons_of(*sources: Path) -> dict[str, str]:
    return {
        name: row.reason for name, row in rows_of(*sources).items() if isinstance(row, SampleError)
    }


@pytest.fixture
def cc12m(tmp_path: Path) -> Path:
    """Two tars of two samples, and what img2dataset writes beside them."""
    folder = tmp_path / "cc12m"
    for number in (0, 1):
        keys = [f"{number:05d}{sample_number:04d}" for sample_number in (0, 1)]
        photos = PHOTOS[2 * number :]
        members = [m for key, photo in zip(keys, photos, strict=False) for m in sample(key, photo)]
        write_tar(folder / f"{number:05d}.tar", members)
        pq.write_table(pa.table({"key": keys, "url": ["u", "v"]}), folder / f"{number:05d}.parquet")
        (folder / f"{number:05d}_stats.json").write_text("{}")
    return folder


def test_samples_of_img2dataset(cc12m: Path) -> None:
    rows = rows_of(cc12m)
    assert list(rows) == [
        "00000.tar/000000000.jpg",
        "00000.tar/000000001.jpg",
        "00001.tar/000010000.jpg",
        "00001.tar/000010001.jpg",
    ]
    row = rows["00001.tar/000010001.jpg"]
    assert isinstance(row, dict)
    assert row["image"] == {"bytes": PHOTOS[3], "path": "000010001.jpg"}
    assert row["prompt"] == "a person, 000010001"
    assert row["source_url"] == "https://photos.example/000010001.jpg"
    assert row["source"] == "cc12m"
    assert len(row["sha256"]) == 64
    assert row["sha256"] != "0" * 64  # of the bytes that are there, not what the JSON claims


def test_nothing_else_of_the_json_is_taken(cc12m: Path) -> None:
    """EXIF above all; nor a licence, which nobody has checked."""
    for row in rows_of(cc12m).values():
        assert isinstance(row, dict)
        assert row.keys() == {"sample_id", "image", "sha256", "source", "prompt", "source_url"}
        assert "SECRETCAM" not in repr({name: row[name] for name in row if name != "image"})


def test_one_tar_or_several_by_name(cc12m: Path) -> None:
    both = [cc12m / "00000.tar", cc12m / "00001.tar"]
    assert list(rows_of(*both)) == list(rows_of(cc12m))
    assert list(rows_of(both[0])) == list(rows_of(cc12m))[:2]


def test_splits_and_nested_folders(cc12m: Path) -> None:
    (cc12m / "validation").mkdir()
    (cc12m / "00001.tar").rename(cc12m / "validation" / "00001.tar")
    (cc12m / "00001.parquet").unlink()
    (cc12m / "validation" / "._00001.tar").write_bytes(b"of a Mac")
    inputs = list_inputs([str(cc12m)])
    assert [(entry.id.rpartition("/")[0], entry.split) for entry in inputs[::2]] == [
        ("00000.tar", None),
        ("validation/00001.tar", "val"),
    ]


def test_a_folder_of_two_things_is_ambiguous(cc12m: Path) -> None:
    (cc12m / "photo.jpg").write_bytes(PHOTOS[0])
    with pytest.raises(UsageError, match="holds 1 images and 2 tars"):
        list_inputs([str(cc12m)])
    (cc12m / "photo.jpg").unlink()
    pq.write_table(pa.table({"image": PHOTOS}), cc12m / "photos.parquet")
    with pytest.raises(UsageError, match="holds 2 tars and 1 Parquet files"):
        list_inputs([str(cc12m)])


def test_tars_behind_a_url_are_refused(cc12m: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/tars/00000.tar", (cc12m / "00000.tar").read_bytes())
    for url in ("memory://tars", "memory://tars/00000.tar"):
        with pytest.raises(UsageError, match="local folders only"):
            list_inputs([url])
    assert rows_of(cc12m).keys() == {e.id for e in list_inputs([f"file://{cc12m}"])}


def hostile(photo: bytes) -> list[tuple[str | tarfile.TarInfo, bytes]]:
    """Each with the reason that it ends with in the name, where it is an image's."""
    return [
        ("good.jpg", photo),
        ("../escape.jpg", photo),
        ("/tmp/escape.jpg", photo),
        ("a/../../escape.jpg", photo),
        ("..\\escape.jpg", photo),
        ("C:\\Windows\\escape.jpg", photo),
        special("symlink.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        special("hardlink.jpg", tarfile.LNKTYPE, "good.jpg"),
        special("folder", tarfile.SYMTYPE, "/tmp"),
        ("folder/through.jpg", photo),
        special("device.jpg", tarfile.CHRTYPE),
        special("pipe.jpg", tarfile.FIFOTYPE),
        ("bell\a.jpg", photo),
        ("x" * 1100 + ".jpg", photo),
        ("good.jpg", jpeg(9)),
        ("./good.jpg", jpeg(9)),
        ("notes.txt", b"a file of its own"),
        ("notes.txt", b"twice"),
        ("other.cls", b"3"),
        ("empty.jpg", b""),
        ("text.jpg", b"no image"),
        ("bomb.jpg", gzip.compress(bytes(10**6))),
    ]


def test_hostile_members_each_with_its_reason(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "evil.tar", hostile(PHOTOS[0]))
    rows = rows_of(tar)
    refused = [row for row in rows.values() if isinstance(row, SampleError)]
    assert sorted(row.reason for row in refused) == sorted(
        [
            *["archive_escape"] * 5,
            *["archive_link"] * 3,
            *["archive_special_file"] * 2,
            *["archive_bad_name"] * 2,
            *["archive_duplicate"] * 3,
            "empty_file",
        ]
    )
    assert any("'../escape.jpg'" in row.detail for row in refused)
    assert not any("\a" in row.detail for row in refused)
    kept = [name for name, row in rows.items() if isinstance(row, dict)]
    assert kept == [f"evil.tar/{n}.jpg" for n in ("bomb", "folder/through", "good", "text")]
    good = rows["evil.tar/good.jpg"]
    assert isinstance(good, dict)
    assert good["image"]["bytes"] == PHOTOS[0], "the first of its name"
    for name in rows:
        assert ".." not in name.split("/")
        assert not name.startswith("/")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab./\\:C\0\n\x1b…\ud800", min_size=1, max_size=9), max_size=5))
def test_no_name_leads_anywhere(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("names")
    members: list[tuple[str | tarfile.TarInfo, bytes]] = [(f"{n}.jpg", b"1") for n in names]
    tar = folder / "a.tar"
    try:
        tar.write_bytes(tar_bytes(members, tarfile.GNU_FORMAT))
    except UnicodeEncodeError:
        return
    found = webdataset.list_members(tar)
    hidden = [n for n in names if "\0" in n or any(p[:1] == "." for p in re.split(r"[/\\]", n))]
    ends = [n for n in names if n[-1] in "./\\"]  # "a/.jpg" is hidden too
    assert len(members) - len(hidden) - len(ends) <= len(found) <= len(members)
    assert len({member.name for member in found}) == len(found)
    for member in found:
        place = os.path.normpath(os.path.join("/out", "a.tar", member.name))
        assert place.startswith("/out/a.tar/")
        assert member.name.isprintable()


def test_sizes_that_are_only_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sample("first", PHOTOS[0])
    huge = write_tar(tmp_path / "huge.tar", first, claiming("huge.jpg", 2**60) + PHOTOS[1])
    cut = write_tar(tmp_path / "cut.tar", first, claiming("cut.jpg", 9999) + PHOTOS[1])
    broken = write_tar(tmp_path / "broken.tar", first, b"\1" * 1024)
    endless = write_tar(tmp_path / "endless.tar", first, b"\0" * 100)
    assert reasons_of(huge, cut, broken, endless) == {
        "huge.tar/member-000003": "archive_too_large",
        "cut.tar/member-000003": "archive_truncated",
        "broken.tar/member-000003": "archive_corrupt",
        "endless.tar/member-000003": "archive_truncated",
    }
    monkeypatch.setattr(webdataset, "DEFAULT_LIMITS", Limits(max_bytes=len(PHOTOS[0]) - 1))
    tar = write_tar(tmp_path / "large.tar", sample("large", PHOTOS[0]))
    assert reasons_of(tar) == {"large.tar/member-000000": "archive_too_large"}


def test_an_archive_that_changes_after_the_listing(cc12m: Path) -> None:
    tar = cc12m / "00000.tar"
    inputs = list_inputs([str(tar)])
    tar.write_bytes(tar.read_bytes()[:600])
    assert [row.reason for _, row in read_inputs(inputs) if isinstance(row, SampleError)] == [
        "archive_truncated"
    ] * 2
    tar.unlink()
    os.mkfifo(tar)
    assert [row.reason for _, row in read_inputs(inputs) if isinstance(row, SampleError)] == [
        "special_file"
    ] * 2
    assert [entry.state for entry in inputs] != ["", ""]


def test_compressed_tars(cc12m: Path) -> None:
    packed = cc12m / "00001.tar.gz"
    packed.write_bytes(gzip.compress((cc12m / "00001.tar").read_bytes()))
    (cc12m / "00001.tar").unlink()
    (cc12m / "00001.parquet").unlink()
    assert reasons_of(cc12m) == {"00001.tar.gz/member-000000": "archive_compressed"}
    with pytest.raises(UsageError, match="is compressed") as error:
        list_inputs([str(packed)])
    assert "gunzip" in str(error.value)
    (cc12m / "00000.tar").write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(UsageError, match="holds 2 tars, all compressed"):
        list_inputs([str(cc12m)])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b'{"caption": " a\\u0000b ", "url": "HTTP://x/y.jpg"}', ("ab", "HTTP://x/y.jpg")),
        (b'{"caption": null, "url": "javascript:alert(1)"}', ("from the text", None)),
        (b'{"caption": 3, "url": ["https://x"]}', ("from the text", None)),
        (b'{"url": "https://x/\\"><script>"}', ("from the text", None)),
        (b'{"url": "http://[bad"}', ("from the text", None)),
        (b'{"caption": "half \\ud800 of one"}', ("half ? of one", None)),
        (json.dumps({"caption": "x" * 10**6}).encode(), ("x" * webdataset.MAX_CAPTION, None)),
        (b"not json", "archive_metadata_unusable"),
        (b"[1, 2]", "archive_metadata_unusable"),
        (b"[" * 100_000, "archive_metadata_unusable"),
        (b'{"url": ' + b"9" * 10_000 + b"}", "archive_metadata_unusable"),
        (b" " * (webdataset.MAX_FACTS_BYTES + 1), "archive_metadata_unusable"),
    ],
)
def test_what_the_json_says(tmp_path: Path, said: bytes, expected: Any) -> None:
    members = [("1.jpg", PHOTOS[0]), ("1.json", said), ("1.txt", b"\nfrom the text\n")]
    (row,) = rows_of(write_tar(tmp_path / "a.tar", members)).values()
    if isinstance(row, SampleError):
        assert row.reason == expected
    else:
        assert (row.get("prompt"), row.get("source_url")) == expected
        pa.array([row.get("prompt"), row.get("source_url")], pa.string())


def test_samples_without_json_or_text_in_any_order(tmp_path: Path) -> None:
    members = [
        ("b.txt", b"caption \xff"),
        ("./set/a.png", PHOTOS[0]),
        ("b.JPG", PHOTOS[1]),
        ("lone.json", b"{"),
    ]
    rows = rows_of(write_tar(tmp_path / "a.tar", members))
    assert {
        name: row.get("prompt") if isinstance(row, dict) else row.reason
        for name, row in rows.items()
    } == {"a.tar/b.JPG": "caption \ufffd", "a.tar/set/a.png": None}


def test_an_empty_tar_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no images"):
        list_inputs([str(write_tar(tmp_path / "a.tar", []))])
    (tmp_path / "a.tar").write_bytes(b"")
    assert reasons_of(tmp_path) == {"a.tar/member-000000": "archive_truncated"}


def test_other_commands_read_tars_too(tmp_path: Path) -> None:
    """Restored images are files, named after the samples: below the output, whatever they say."""
    folder = tmp_path / "tars"
    write_tar(folder / "a.tar", [*sample("../../up", PHOTOS[0]), *sample("in/side", PHOTOS[1])])
    arguments = ["restore", folder, "--out", tmp_path / "out", "--method", "bicubic"]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 1, done.output
    written = [p.relative_to(tmp_path) for p in tmp_path.rglob("*.png")]
    assert written == [Path("out/a.tar/in/side.png")]
    assert {path.name for path in tmp_path.iterdir()} == {"tars", "out"}
