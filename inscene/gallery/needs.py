"""Which weights a recipe's steps lack, all in one message."""

from __future__ import annotations

from inscene.engine.registry import BuiltRecipe
from inscene.weights.locate import MissingWeightError
from inscene.weights.manifest import load_manifest
from inscene.weights.sizes import in_words
from inscene.weights.survey import survey


def check_weights(built: BuiltRecipe) -> None:
    """Raise ``MissingWeightError`` where a step lacks weights: which, how to get them, and how to
    do without, which is then part of the recipe that the dataset records."""
    manifest = load_manifest()
    lacking: dict[str, list[str]] = {}
    ways = []
    for name, step in built.steps:
        wanted = manifest.with_needs(getattr(step, "needs_weights", ()))
        missing = [one.weight.name for one in survey(wanted) if not one.is_here]
        if missing:
            lacking[name] = missing
            ways.append(getattr(step, "without_weights", f"--set {name}=null"))
    if not lacking:
        return
    names = list(dict.fromkeys(one for missing in lacking.values() for one in missing))
    size = in_words(sum(manifest[name].download_bytes for name in names) or None)
    needed = "; ".join(f"{step} needs {', '.join(missing)}" for step, missing in lacking.items())
    raise MissingWeightError(
        "weights are not on this machine",
        where=built.recipe.name,
        why=f"The step {needed}. {size} to download.",
        next_step=f"Run: inscene weights pull {' '.join(names)}\n"
        f"  Or, for a dataset without: {' '.join(ways)}",
    )
