"""What is saved comes back as it was."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from inscene.errors import VerificationError
from inscene.training.state import TENSORS, TREE, load_state, save_state, save_tensors


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        pairs = zip(one, other, strict=True)
        return type(one) is type(other) and all(same(*pair) for pair in pairs)
    return type(one) is type(other) and (one == other or (one != one and other != other))


def test_trees_of_all_kinds_come_back(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    state = {
        "model": {"a": torch.randn(3, 2), "b.c": shared, "b": {"c": shared}},
        "half": torch.randn(2).to(torch.bfloat16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "turned": torch.arange(6.0).view(2, 3).T,
        "optimiser": {0: {"step": 1}, 1: (0.9, 0.999)},
        "list": [None, True, 1, 0.1, "word", math.inf, math.nan, {}],
        "$tensor": "a name, and no tensor",
    }
    save_state(state, tmp_path)
    found = load_state(tmp_path)
    assert same(found, state)
    assert found["model"]["b.c"].data_ptr() != found["model"]["b"]["c"].data_ptr()
    assert {path.name for path in tmp_path.iterdir()} == {TENSORS, TREE}


def test_an_optimiser_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def made() -> tuple[torch.nn.Linear, torch.optim.Adam]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layer = torch.nn.Linear(5, 5)
        return layer, torch.optim.Adam(layer.parameters(), lr=0.01)

    def go(layer: torch.nn.Linear, optimiser: torch.optim.Adam, steps: range) -> None:
        for step in steps:
            optimiser.zero_grad()
            (layer(torch.full((2, 5), float(step))) ** 2).mean().backward()
            optimiser.step()

    whole, second = made(), made()
    go(*whole, range(3))
    save_state({"layer": whole[0].state_dict(), "optimiser": whole[1].state_dict()}, tmp_path)
    go(*whole, range(3, 6))
    state = load_state(tmp_path)
    second[0].load_state_dict(state["layer"])
    second[1].load_state_dict(state["optimiser"])
    go(*second, range(3, 6))
    assert torch.equal(whole[0].weight, second[0].weight)


def test_damage_is_found(tmp_path: Path) -> None:
    save_state({"a": torch.zeros(4)}, tmp_path)
    data = bytearray((tmp_path / TENSORS).read_bytes())
    data[-1] ^= 1
    (tmp_path / TENSORS).write_bytes(bytes(data))
    with pytest.raises(VerificationError, match="not the file that was saved"):
        load_state(tmp_path)
    (tmp_path / TREE).unlink()
    with pytest.raises(VerificationError, match="cannot be read"):
        load_state(tmp_path)


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a\.b: object"):
        save_state({"a": {"b": object()}}, tmp_path)


def test_a_full_disk_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_file(*_: object) -> None:
        # What safetensors says on a full tmpfs.
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    monkeypatch.setattr("inscene.training.state.save_file", save_file)
    with pytest.raises(OSError, match="No space left") as caught:
        save_tensors({"a": torch.zeros(4)}, tmp_path / "file")
    assert caught.value.errno == errno.ENOSPC
