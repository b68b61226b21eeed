"""Sessions, and the layout of the packs that the other tests stand on."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from tiny_weights import insightface_packs

from inscene.errors import MachineError
from inscene.faces.onnx_models import open_session

pytest.importorskip("insightface")


@pytest.mark.parametrize(
    ("name", "inside", "files"),
    [
        ("buffalo_l", "", {"det_10g": "detection", "w600k_r50": "recognition"}),
        (
            "antelopev2",
            "antelopev2/",
            {"scrfd_10g_bnkps": "detection", "glintr100": "recognition"},
        ),
    ],
)
def test_insightface_takes_each_file_for_what_it_stands_for(
    tmp_path: Path, name: str, inside: str, files: dict[str, str]
) -> None:
    from insightface.model_zoo import get_model

    insightface_packs.write_pack_zip(tmp_path / "pack.zip", name)
    with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
        assert all(member.startswith(inside) for member in pack.namelist())
        assert len(pack.namelist()) == 5 + bool(inside)
        pack.extractall(tmp_path / "again")
    files |= {"1k3d68": "landmark_3d_68", "2d106det": "landmark_2d_106", "genderage": "genderage"}
    found = sorted((tmp_path / "again" / inside).iterdir())
    assert {file.stem for file in found} == set(files)
    for file in found:
        assert file.stat().st_size < 1_000_000
        model = get_model(str(file), providers=["CPUExecutionProvider"])
        assert model.taskname == files[file.stem]


def test_threads_are_those_that_were_asked_for(tmp_path: Path) -> None:
    insightface_packs.write_w600k(tmp_path / "model.onnx")
    options = open_session(tmp_path / "model.onnx", threads=3).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    options = open_session(tmp_path / "model.onnx").get_session_options()
    assert options.intra_op_num_threads == 0  # onnxruntime's own choice


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x08\x08" + bytes(999)])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "w600k_r50.onnx"
    file.write_bytes(content)
    with pytest.raises(MachineError) as caught:
        open_session(file)
    assert caught.value.where == str(file)
    assert "not a valid ONNX model" in caught.value.what
    assert "inscene weights verify" in caught.value.next_step


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    insightface_packs.write_w600k(file)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(MachineError, match="not a valid ONNX model"):
        open_session(file)


def test_a_missing_file_and_a_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MachineError, match="no such model file"):
        open_session(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MachineError, match=r"inscene\[gallery\]"):
        open_session(tmp_path / "model.onnx")
