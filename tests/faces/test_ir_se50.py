"""IR-SE-50: what facexlib's own network says of the pixels that InfiniteYou gives it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from tiny_weights.ir_se50 import write_ir_se50
from tiny_weights.yolov8_face import write_evil

from inscene.errors import MachineError
from inscene.faces.embedders.ir_se50 import IrSe50

pytest.importorskip("facexlib")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ir_se50") / "recognition_arcface_ir_se50.pth"
    write_ir_se50(file)
    assert file.stat().st_size < 5_000_000
    return file


@pytest.fixture(scope="module")
def embedder(weights: Path) -> IrSe50:
    return IrSe50(weights, batch=2)


@pytest.fixture(scope="module")
def crops() -> list[np.ndarray]:
    photo = data.astronaut()
    return [photo[y : y + 112, x : x + 112] for y, x in [(60, 170), (0, 0), (300, 200)]]


def test_embeddings_are_those_of_the_network(
    weights: Path, embedder: IrSe50, crops: list[np.ndarray]
) -> None:
    import torch
    from facexlib.recognition.arcface_arch import Backbone

    peer = Backbone(50, 0.6, "ir_se").eval()
    state = torch.load(weights, weights_only=True)
    assert len(state) == 397  # as the official file
    peer.load_state_dict(state)
    expected = []
    for crop in crops:
        blue_first = crop[:, :, [2, 1, 0]].astype(np.float32) / 127.5 - 1
        with torch.no_grad():
            expected.append(peer(torch.from_numpy(blue_first.transpose(2, 0, 1)[None]))[0].numpy())
    found = embedder.embed(crops)  # a batch of two, then one of one
    assert (found.shape, found.dtype) == ((3, 512), np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert abs(float(found[0] @ found[1])) < 0.999  # or the comparison would mean little


def test_red_is_not_blue(embedder: IrSe50, crops: list[np.ndarray]) -> None:
    as_they_are, swapped = embedder.embed([crops[0], crops[0][..., ::-1]])
    assert float(as_they_are @ swapped) < 0.9999


def test_no_crops_have_no_embeddings(embedder: IrSe50) -> None:
    assert embedder.embed([]).shape == (0, 512)


def test_what_is_refused(
    embedder: IrSe50, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    with pytest.raises(ValueError, match=r"\(112, 112, 3\) are needed"):
        embedder.embed([np.zeros((128, 128, 3), np.uint8)])
    with pytest.raises(MachineError, match="no such model file"):
        IrSe50(tmp_path / "missing.pth")
    write_evil(tmp_path / "evil.pth", tmp_path / "victim", zipped=True)
    with pytest.raises(MachineError, match="carries code"):
        IrSe50(tmp_path / "evil.pth")
    assert not (tmp_path / "victim").exists()
    (tmp_path / "page.pth").write_bytes(b"<html>not found</html>")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    for name in ("page.pth", "other.pth"):
        with pytest.raises(MachineError, match="not the face recogniser IR-SE-50"):
            IrSe50(tmp_path / name)
    monkeypatch.setitem(sys.modules, "facexlib.recognition.arcface_arch", None)
    with pytest.raises(MachineError, match="pip install facexlib"):
        IrSe50(weights)
