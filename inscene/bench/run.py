"""``bench``: one results dataset for each method, side by side in one folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.recipe import load_recipe


def plan_bench(
    dataset: str, methods: Sequence[str], metrics: Sequence[str], out: str, limit: int | None = None
) -> Iterator[engine.Plan]:
    """One plan a method. Each method has a folder of its own below ``out``, so that adding one
    computes that one only.

    Raises :class:`inscene.errors.UsageError` for unknown methods or metrics.
    """
    suite = PurePosixPath(dataset.rstrip("/")).name
    for method in methods:
        values = {
            "restore.method": method,
            "score.suite": suite,
            "score.metrics": list(metrics),
        }
        overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
        recipe, source = load_recipe("bench", overrides)
        place = f"{out.rstrip('/')}/{_folder_name(suite)}--{_folder_name(method)}"
        yield engine.plan(build(recipe, source), [dataset], place, limit)


def _folder_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"
