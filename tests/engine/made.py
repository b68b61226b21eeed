"""A whole run in one call."""

from __future__ import annotations

from pathlib import Path

from inscene.dataset.verify import verify
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.recipe import load_recipe


def make(recipe: Path, source: Path, out: Path, workers: engine.Workers) -> engine.Summary:
    """Run a recipe over a folder."""
    loaded, text = load_recipe(str(recipe))
    return engine.run(engine.plan(build(loaded, text), [str(source)], str(out)), workers)


def make_table(recipe: Path, sources: list[str], out: Path, workers: engine.Workers) -> str:
    """Run a recipe, verify the dataset, and return its table hash."""
    loaded, text = load_recipe(str(recipe))
    summary = engine.run(engine.plan(build(loaded, text), sources, str(out)), workers)
    assert summary.inputs == summary.kept + sum(summary.dropped.values())
    verdict = verify(str(out))
    assert not verdict.problems
    assert verdict.table_hash is not None
    return verdict.table_hash
