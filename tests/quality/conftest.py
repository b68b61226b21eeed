"""Metrics whose networks are pyiqa's, with random weights that were pulled by the real code."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback.pulled import pulled
from synthetic_photos import synthetic_photo
from tiny_weights.metrics import METRIC_FILES
from tiny_weights.pyiqa_cache import pyiqa_finds

from inscene.quality.registry import METRICS

MANIQA_CROPS = 1
"""Of 20: on a CPU each of them takes seconds. The crops are pyiqa's own code in any case."""

Environment = dict[str, str]


@pytest.fixture(scope="session")
def _pulled(tmp_path_factory: pytest.TempPathFactory, inscene) -> Environment:
    pytest.importorskip("pyiqa", reason="extra: bench")
    folder = tmp_path_factory.mktemp("metric-weights")
    with pulled(list(METRIC_FILES), folder, inscene) as environment:
        pass
    return {name: value for name, value in environment.items() if name.startswith("INSCENE_")}


@pytest.fixture
def metric_weights(_pulled: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The weights of all metrics are on this machine."""
    for name, value in _pulled.items():
        monkeypatch.setenv(name, value)
    return _pulled


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"a connection is opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def load(metric_weights: Environment, no_network: None) -> Callable[[str], Any]:
    """Our metric by its key, loaded once in a session."""
    return _load


@functools.cache
def _load(key: str) -> Any:
    scorer = METRICS[key].load()
    if key.startswith("maniqa"):
        scorer._network.test_sample = MANIQA_CROPS
    return scorer


@pytest.fixture
def pyiqa_metric(
    metric_weights: Environment, no_network: None, tmp_path: Path
) -> Iterator[Callable[..., Any]]:
    """pyiqa's ``create_metric`` itself, with the same files in a cache of its own."""
    import torch
    from pyiqa import create_metric

    def create(name: str) -> Any:
        metric = create_metric(name, device=torch.device("cpu"))
        if name.startswith("maniqa"):
            metric.net.test_sample = MANIQA_CROPS
        return metric

    with pyiqa_finds(Path(metric_weights["INSCENE_WEIGHTS"]), tmp_path):
        yield create


@pytest.fixture(scope="session")
def photos() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Three images and the clean ones, 240 px wide and 232 high."""
    rng = np.random.default_rng(7)
    clean = [np.asarray(synthetic_photo(index, 240, 232)) for index in range(3)]
    noise = [rng.normal(0, 12 * (1 + index), clean[0].shape) for index in range(3)]
    pairs = zip(clean, noise, strict=True)
    return [np.clip(photo + one, 0, 255).astype(np.uint8) for photo, one in pairs], clean
