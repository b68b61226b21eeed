"""A loopback hub, and a manifest of small files that are published on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback.hub import LoopbackHub
from loopback.published import LICENCE

from inscene.weights import download
from inscene.weights import hub as hub_client
from inscene.weights.manifest import Manifest, load_manifest


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """The real client in this process talks to it; nothing waits between attempts."""
    from huggingface_hub import constants

    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(hub_client, "WAITS_S", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    with LoopbackHub() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            running.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield running


Write = Callable[[dict[str, Any]], Manifest]


@pytest.fixture
def write_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Makes a manifest count, and gives weights a folder of their own."""
    monkeypatch.setenv("INSCENE_WEIGHTS", str(tmp_path / "weights"))

    def write(weights: dict[str, Any]) -> Manifest:
        full = {
            name: {"about": "A test", "for": ["bench"], "licence": LICENCE, **facts}
            for name, facts in weights.items()
        }
        path = tmp_path / f"manifest-{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump(full))
        monkeypatch.setenv("INSCENE_WEIGHTS_MANIFEST", str(path))
        return load_manifest()

    return write
