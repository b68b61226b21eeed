"""A pickle that carries code is refused before any of it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inscene.errors import MachineError
from inscene.weights.pickles import load_pickle

torch = pytest.importorskip("torch", reason="weights are opened with torch")


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (os.system, (f"touch {self.target}",))


def test_tensors_come_back(tmp_path: Path) -> None:
    weights = {"conv.weight": torch.arange(6.0).reshape(2, 3), "epoch": 3, "names": ["a"]}
    torch.save(weights, tmp_path / "net.pth")
    loaded = load_pickle(tmp_path / "net.pth")
    assert torch.equal(loaded["conv.weight"], weights["conv.weight"])
    assert loaded["names"] == ["a"]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_is_refused(tmp_path: Path, zipped: bool) -> None:
    path, touched = tmp_path / "net.pth", tmp_path / "touched"
    torch.save({"state": Evil(touched)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(MachineError, match="carries code"):
        load_pickle(path)
    assert not touched.exists()
    torch.load(path, weights_only=False)  # it would have
    assert touched.exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle at all", b"PK\x03\x04 cut"])
def test_what_is_no_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(MachineError, match=r"net\.pth"):
        load_pickle(path)
