"""``bench``: one results dataset for each method, side by side in one folder."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from inscene.bench.methods import FOLDER, find_method
from inscene.dataset.store import is_url
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import UsageError
from inscene.quality.registry import find_metric
from inscene.recipe import load_recipe


def plan_bench(
    dataset: str, methods: Sequence[str], metrics: Sequence[str], out: str, limit: int | None = None
) -> Iterator[engine.Plan]:
    """One plan a method. Each method has a folder of its own below ``out``, so that adding one
    computes that one only.

    Raises :class:`inscene.errors.UsageError` for unknown methods or metrics.
    """
    methods = [_absolute(method) for method in methods]
    names = [find_method(method).name for method in methods]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(
            f"two methods are named {repeated!r}", next_step="Rename one folder, or run them apart."
        )
    for metric in metrics:
        find_metric(metric)
    if not metrics or len(set(metrics)) < len(metrics):
        raise UsageError("name at least one metric, and each once", where="--metrics")
    place = dataset.rstrip("/") if is_url(dataset) else os.path.abspath(dataset)
    suite = PurePosixPath(place).name
    for method, name in zip(methods, names, strict=True):
        values = {
            "restore.method": method,
            "score.suite": suite,
            "score.metrics": list(metrics),
        }
        overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
        recipe, source = load_recipe("bench", overrides)
        folder = f"{out.rstrip('/')}/{_folder_name(suite)}--{_folder_name(name)}"
        yield engine.plan(build(recipe, source), [dataset], folder, limit)


def _absolute(method: str) -> str:
    """A folder of outputs by its whole path: workers may run elsewhere."""
    if not method.startswith(FOLDER) or method == FOLDER:
        return method
    return f"{FOLDER}{os.path.abspath(method.removeprefix(FOLDER))}"


def _folder_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"
