"""Features of clean images, kept for every bench of the same dataset: ``~/.cache/inscene``."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from inscene.engine.run import Plan
from inscene.recipe import content_hash
from inscene.weights.folder import weights_folder


def place_of(plan: Plan) -> Path:
    """By what decides the features: the recipe (metric, weights, versions), and the samples with
    the state of their files."""
    shards = [[shard.id, shard.state] for shard, _ in plan.shards]
    return weights_folder().parent / "references" / content_hash([plan.built.hash, shards])


def copy(source: Path, target: Path) -> None:
    """All of a folder, under its name when it is complete. Where the target cannot be written, or
    has come to be in the meantime, nothing is done: it can be computed again."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as folder:
            shutil.copytree(source, Path(folder) / "new", ignore=shutil.ignore_patterns("*.lock"))
            os.rename(Path(folder) / "new", target)
    except OSError:
        return
