from __future__ import annotations

import os

import pytest

from inscene.threads import model_threads


@pytest.mark.parametrize(("given", "threads"), [("1", 1), ("3", 3), ("", None), ("many", None)])
def test_model_threads(monkeypatch: pytest.MonkeyPatch, given: str, threads: int | None) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert model_threads() == (threads or len(os.sched_getaffinity(0)))
