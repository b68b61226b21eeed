"""A loopback hub that the real client talks to, and a small dataset to publish."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback.hub import LoopbackHub
from synthetic_photos import synthetic_photo

from hub.small import TOKEN, make_scenes
from inscene.hub import client


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of twelve scenes, in shards of four. Not to be changed."""
    photos = tmp_path_factory.mktemp("to-publish") / "photos"
    photos.mkdir()
    for index in range(12):
        synthetic_photo(index, 40 + index, 32).save(photos / f"{index:02d}.png")
    return make_scenes(photos, photos.parent / "scenes")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """The real client in this process talks to it; nothing waits between attempts."""
    from huggingface_hub import constants

    monkeypatch.setattr(client, "WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with LoopbackHub() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            running.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield running
