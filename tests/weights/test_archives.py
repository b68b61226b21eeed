"""Packs of models: nested ones are found, hostile ones refused."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest
from loopback.hub import LoopbackHub
from loopback.published import body, known

from inscene.errors import VerificationError
from inscene.weights import find_folder
from inscene.weights.folder import weights_folder
from inscene.weights.pull import pull

DET, REC = body(1, 5000), body(2, 7000)


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in members.items():
            pack.writestr(name, content)
    return buffer.getvalue()


def publish(hub: LoopbackHub, write_manifest, pack: bytes):
    hub.releases["pack.zip"] = pack
    archive = known("pack.zip", pack, url=f"{hub.url}/releases/pack.zip")
    files = [known("det.onnx", DET), known("rec.onnx", REC)]
    return write_manifest({"pack": {"archive": archive, "files": files}})["pack"]


@pytest.mark.parametrize("folder", ["", "antelopev2/", "a/b/"])
def test_members_are_found_wherever_they_lie(hub, write_manifest, folder: str) -> None:
    members = {"det.onnx": DET, "rec.onnx": REC, "genderage.onnx": body(3, 100)}
    pack = packed({f"{folder}{name}": content for name, content in members.items()})
    weight = publish(hub, write_manifest, pack)
    pull(weight)
    found = find_folder("pack")
    assert (found / "det.onnx").read_bytes() == DET
    names = {path.name for path in found.iterdir()}
    assert names == {"det.onnx", "rec.onnx", ".lock"}  # nothing that is not needed, no archive


def test_from_a_folder_with_the_archive(hub, write_manifest, tmp_path: Path) -> None:
    pack = packed({"x/det.onnx": DET, "x/rec.onnx": REC})
    weight = publish(hub, write_manifest, pack)
    (tmp_path / "pack.zip").write_bytes(pack)
    assert pull(weight, source=tmp_path).reused == ("det.onnx", "rec.onnx")
    assert find_folder("pack").is_dir()
    assert hub.requests == []


def test_a_member_that_is_another_file(hub, write_manifest) -> None:
    weight = publish(hub, write_manifest, packed({"det.onnx": DET, "rec.onnx": body(9, 7000)}))
    with pytest.raises(VerificationError, match=r"rec\.onnx is not the file"):
        pull(weight)
    assert not list((weights_folder() / "pack").glob("*.onnx*"))


def link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as pack:
        entry = zipfile.ZipInfo("det.onnx")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        pack.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


def encrypted() -> bytes:
    """The flag that says so; Python cannot write one."""
    data = bytearray(packed({"det.onnx": DET, "rec.onnx": REC}))
    for marker, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(marker)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(marker, place + 1)
    return bytes(data)


GOOD = {"det.onnx": DET, "rec.onnx": REC}


@pytest.mark.parametrize(
    ("pack", "says"),
    [
        (packed(GOOD | {"../evil.onnx": b"x"}), "outside"),
        (packed(GOOD | {"a/../../evil.onnx": b"x"}), "outside"),
        (packed(GOOD | {"/evil.onnx": b"x"}), "outside"),
        (packed(GOOD | {"..\\evil.onnx": b"x"}), "outside"),
        (packed(GOOD | {"C:/evil.onnx": b"x"}), "outside"),
        (packed(GOOD | {"bomb": bytes(50_000_000)}), "unpack to"),
        (link(), "link"),
        (packed({"det.onnx": DET}), "no files named"),
        (packed(GOOD | {"again/det.onnx": DET}), "2 files named"),
        (packed(GOOD)[:-40], "sound ZIP"),
        (body(4, 1000), "sound ZIP"),
        (packed(GOOD).replace(packed(GOOD)[200:260], bytes(60)), "sound ZIP"),
        (encrypted(), "sound ZIP"),
    ],
    ids=["up", "up inside", "absolute", "backslash", "drive", "bomb", "link", "lacks one",
         "twice", "truncated", "no zip", "broken", "encrypted"],
)  # fmt: skip
def test_refused(hub, write_manifest, tmp_path: Path, pack: bytes, says: str) -> None:
    weight = publish(hub, write_manifest, pack)
    with pytest.raises(VerificationError, match=says):
        pull(weight)
    assert not list(tmp_path.rglob("evil*"))
    assert not list((weights_folder() / "pack").glob("*.part"))
    assert not list((weights_folder() / "pack").glob("*.onnx*"))
