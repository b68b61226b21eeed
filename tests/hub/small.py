"""Small datasets, packages of them, and clients in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
from loopback.hub import LoopbackHub

from inscene.dataset.store import LocalStore
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.hub.package import Package
from inscene.hub.publish import Goal, Outcome, send
from inscene.hub.stage import Advance, stage
from inscene.recipe import load_recipe

REPO = "org/scenes"
CARD = b"---\nlicense: mit\n---\n# Scenes\n"
TOKEN = "hf_CanaryCanaryCanaryCanaryCanary1"


def make_scenes(photos: Path, out: Path, shard_rows: int = 4) -> Path:
    recipe, text = load_recipe("photos", [f"shard_rows={shard_rows}"])
    engine.run(engine.plan(build(recipe, text), [str(photos)], str(out)))
    return out


def package(
    dataset: Path, folder: Path, advance: Advance | None = None, **changes: object
) -> Package:
    """Of a dataset, with a card of two lines."""
    staged = stage(LocalStore(dataset), folder, max_file_bytes=30_000, advance=advance)
    made = Package(staged, CARD, {"tombstones.json": b"[]\n"}, content="c0ffee" * 10)
    return replace(made, **changes)  # type: ignore[arg-type]


def publish(made: Package, **goal: object) -> Outcome:
    silent = lambda *_: lambda _: None  # noqa: E731
    return send(made, Goal(REPO, **goal), silent, lambda _: None)  # type: ignore[arg-type]


def cells(files: list[Path], column: str = "image") -> dict[str, bytes]:
    """Sample id -> encoded image."""
    found: dict[str, bytes] = {}
    for file in files:
        for row in pq.read_table(file).to_pylist():
            assert row["sample_id"] not in found
            found[row["sample_id"]] = row[column]["bytes"]
    return found


def in_a_process(hub: LoopbackHub, home: Path, *arguments: str) -> subprocess.Popen[str]:
    """``python`` with these arguments, as a user of the hub."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path), **hub.environment(home), "HF_TOKEN": TOKEN,
        "XDG_CACHE_HOME": str(home / "cache"),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
