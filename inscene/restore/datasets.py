"""``restore`` for datasets: the engine's work, with the result a dataset of restored images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inscene.bench.methods import find_method
from inscene.dataset.sources import Input
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import UsageError
from inscene.recipe import load_recipe
from inscene.restore.photos import REAL


def are_rows(inputs: Sequence[Input]) -> bool:
    """Whether inputs come from datasets, or have LQ images beside them; else they are images."""
    return any(entry.row_group >= 0 or entry.beside for entry in inputs)


def plan_restore(
    source: str,
    out: str,
    method: str,
    options: Mapping[str, Any],
    *,
    references: Path | None = None,
    limit: int | None = None,
) -> engine.Plan:
    """Of pairs the LQ images are restored, to the clean images' size; of other datasets the scenes
    themselves."""
    values: dict[str, Any] = {"restore.method": method, "restore.options": dict(options)}
    if references is not None:
        values["restore.references"] = str(references)
    if not _has_lq(source):
        values["restore.lq"] = "image"
    overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    if values.get("restore.lq") == "image" and find_method(method, options).sees_clean:
        raise UsageError(
            f"{method} looks at clean images, and there are none", where=source, next_step=REAL
        )
    recipe, text = load_recipe("restore", overrides)
    return engine.plan(build(recipe, text), [source], out, limit)


def _has_lq(source: str) -> bool:
    from inscene.dataset.sources import list_inputs

    return any(entry.has("lq") for entry in list_inputs([source]))
