"""A dataset behind a URL is the dataset of a folder."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from inscene.dataset import lock
from inscene.dataset.store import LocalStore, UrlStore, open_store
from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import BusyError, UsageError
from inscene.recipe import load_recipe


@pytest.fixture
def url(photo_folder: Path) -> str:
    """An object store in memory that holds the photos."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.put(str(photo_folder), "memory://bucket/photos", recursive=True)
    return "memory://bucket"


def make(source: str, out: str) -> str:
    recipe, text = load_recipe("photos", ["shard_rows=7"])
    summary = engine.run(engine.plan(build(recipe, text), [source], out))
    assert summary.kept == 24
    verdict = verify(out)
    assert verdict.problems == []
    assert verdict.table_hash is not None
    return verdict.table_hash


def test_urls_and_folders_give_the_same_table(url, photo_folder, tmp_path) -> None:
    sources = {str(photo_folder), f"file://{photo_folder}"}
    hashes = {make(source, str(tmp_path / f"{i}")) for i, source in enumerate(sources)}
    assert len(hashes) == 1
    local = hashes.pop()
    assert make(str(photo_folder), f"{url}/from-folder") == local


def test_a_dataset_behind_a_url_is_a_source(url, photo_folder, tmp_path) -> None:
    make(f"{url}/photos", f"{url}/scenes")
    recipe, text = load_recipe("photos")
    summary = engine.run(
        engine.plan(build(recipe, text), [f"{url}/scenes"], str(tmp_path / "again"))
    )
    assert summary.kept == 24


@pytest.mark.parametrize("kind", ["local", "url"])
def test_promises_of_a_store(kind: str, url: str, tmp_path: Path) -> None:
    store = open_store(tmp_path if kind == "local" else f"{url}/d")
    assert isinstance(store, LocalStore if kind == "local" else UrlStore)
    assert store.size("a/b") is None
    assert store.create("a/b", b"first")
    assert not store.create("a/b", b"second")
    assert store.read("a/b") == b"first"
    store.replace("a/b", b"third!")
    assert store.size("a/b") == 6
    assert store.list("a/*") == ["a/b"]
    store.remove("a/b")
    store.remove("a/b")
    assert store.list("a/*") == []


@pytest.mark.parametrize("kind", ["local", "url"])
def test_one_holder_at_a_time(kind: str, url: str, tmp_path: Path) -> None:
    store = open_store(tmp_path if kind == "local" else f"{url}/locked")
    refused = pytest.raises(BusyError, match="is being written by process")
    with lock.hold(store), refused, lock.hold(store):
        pass
    with lock.hold(store):
        pass


def test_a_dead_holder_on_this_host_is_no_obstacle(url: str) -> None:
    import json
    import socket
    import subprocess

    gone = subprocess.Popen(["true"])
    gone.wait()
    store = open_store(f"{url}/abandoned")
    store.create(lock.LOCK, json.dumps({"host": socket.gethostname(), "pid": gone.pid}).encode())
    with lock.hold(store):
        pass
    store.create(lock.LOCK, json.dumps({"host": "elsewhere", "pid": gone.pid}).encode())
    with pytest.raises(BusyError, match="on elsewhere"), lock.hold(store):
        pass


def test_an_unfinished_dataset_is_no_source(photo_folder: Path, tmp_path: Path) -> None:
    make(str(photo_folder), str(tmp_path / "scenes"))
    next((tmp_path / "scenes/run/records").iterdir()).unlink()
    recipe, text = load_recipe("photos")
    with pytest.raises(UsageError, match="3 of 4 shards are done"):
        engine.plan(build(recipe, text), [str(tmp_path / "scenes")], str(tmp_path / "out"))
