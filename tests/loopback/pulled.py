"""Weights as a user gets them: published on a loopback hub, pulled by the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loopback.hub import LoopbackHub
from loopback.models import publish_models


@contextmanager
def pulled(
    names: Sequence[str], folder: Path, inscene: Callable[..., Any]
) -> Iterator[dict[str, str]]:
    """The environment in which they are found; it holds while the context does."""
    with LoopbackHub() as hub, pytest.MonkeyPatch.context() as patch:
        publish_models(hub, names, folder / "manifest.yaml")
        weights = {
            "INSCENE_WEIGHTS": str(folder / "weights"),
            "INSCENE_WEIGHTS_MANIFEST": str(folder / "manifest.yaml"),
        }
        for name, value in (hub.environment(folder / "hf") | weights).items():
            patch.setenv(name, value)
        inscene("weights", "pull", *names)
        yield hub.environment(folder / "hf") | weights
