"""Which weights a recipe's steps lack, all in one message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inscene.engine.registry import BuiltRecipe
from inscene.weights.folder import path_of
from inscene.weights.locate import MissingWeightError, files_in_words
from inscene.weights.manifest import Weight, load_manifest
from inscene.weights.sizes import in_words
from inscene.weights.survey import survey
from inscene.weights.verify import State


@dataclass(frozen=True)
class Lacking:
    """Weights that steps need and that are not on this machine."""

    weights: tuple[Weight, ...]
    by_step: Mapping[str, tuple[str, ...]]
    """Step -> names of those that it lacks."""
    ways: tuple[str, ...]
    """How to do without them, an option for each of these steps."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(weight.name for weight in self.weights)

    @property
    def download_bytes(self) -> int:
        return sum(weight.download_bytes for weight in self.weights)

    @property
    def in_words(self) -> str:
        needed = (f"{step} needs {', '.join(names)}" for step, names in self.by_step.items())
        return f"The step {'; '.join(needed)}."


def lacking(built: BuiltRecipe) -> Lacking:
    """At a glance: no hashes, and nothing is opened. A file that is there and was changed is not
    missing: the step that needs it says so."""
    manifest = load_manifest()
    missing: dict[str, Weight] = {}
    by_step: dict[str, tuple[str, ...]] = {}
    ways = []
    for name, step in built.steps:
        wanted = manifest.with_needs(getattr(step, "needs_weights", ()))
        of_step = [one.weight for one in survey(wanted) if State.MISSING in one.states]
        if of_step:
            missing |= {weight.name: weight for weight in of_step}
            by_step[name] = tuple(weight.name for weight in of_step)
            ways.append(getattr(step, "without_weights", f"--set {name}=null"))
    return Lacking(tuple(missing.values()), by_step, tuple(ways))


def check_weights(built: BuiltRecipe) -> None:
    """Raise ``MissingWeightError`` where a step lacks weights: which, how to get them, and how to
    do without, which is then part of the recipe that the dataset records."""
    missing = lacking(built)
    if not missing.weights:
        return
    raise MissingWeightError(
        "weights are not on this machine",
        where=built.recipe.name,
        why="\n  ".join(
            [
                f"{missing.in_words} {in_words(missing.download_bytes or None)} to download.",
                *map(_in_words, missing.weights),
            ]
        ),
        next_step=f"Run: inscene weights pull {' '.join(missing.names)}\n"
        f"  Or, for a dataset without: {' '.join(missing.ways)}",
    )


def _in_words(weight: Weight) -> str:
    files = [file for file in weight.files if not path_of(weight, file).exists()]
    return f"{weight.name}: {files_in_words(files)}. Licence: {weight.licence.name}."
