"""The Python examples of the documentation run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parent.parent / "docs"


def examples(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.S)


def test_faces_as_a_library() -> None:
    pytest.importorskip("facenet_pytorch")
    (example,) = examples("faces.md")
    names: dict[str, object] = {}
    exec(example, names)
    assert names["aligned"].shape == (512, 512, 3)  # type: ignore[attr-defined]
    assert names["mask"].shape == (512, 512)  # type: ignore[attr-defined]


def test_degrading_as_a_library() -> None:
    first, second = examples("degradation.md")
    names: dict[str, object] = {}
    exec(first, names)
    assert names["lq"].shape == (256, 256, 3)  # type: ignore[attr-defined]

    torch = pytest.importorskip("torch")
    made: dict[str, object] = {}
    exec(second, made)
    photos = [np.full((64, 48, 3), value, np.uint8) for value in (30, 200)]
    loader = torch.utils.data.DataLoader(made["Pairs"](photos, 0), batch_size=None)  # type: ignore[operator]
    lqs = [lq.shape for lq, _, _ in loader]
    assert lqs == [(16, 12, 3)] * 2
