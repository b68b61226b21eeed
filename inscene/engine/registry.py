"""Steps by name; a step's module is imported only when a recipe uses it."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from inscene.engine.closing_step import ClosingStep
from inscene.engine.step import Step
from inscene.errors import RecipeError
from inscene.recipe import Recipe, RecipeSource, StepSpec, canonical_json, content_hash
from inscene.suggest import did_you_mean

STEPS = {
    "assign_split": "inscene.gallery.split_run:AssignSplit",
    "decode": "inscene.engine.steps.decode:Decode",
    "degrade": "inscene.degrade.step:Degrade",
    "develop": "inscene.raw.steps.develop:Develop",
    "detect_faces": "inscene.faces.steps.detect:DetectFaces",
    "face_area": "inscene.gallery.steps.face_quality:FaceArea",
    "face_pairs": "inscene.restore.steps.face_pairs:FacePairs",
    "generate": "inscene.synthetic.steps.generate:Generate",
    "identity": "inscene.faces.steps.identity:Identity",
    "iqa": "inscene.gallery.steps.iqa:Iqa",
    "iso_group": "inscene.raw.steps.iso_group:IsoGroup",
    "landmarks": "inscene.faces.steps.landmarks:Landmarks",
    "min_size": "inscene.gallery.steps.size:MinSize",
    "people": "inscene.gallery.steps.people:People",
    "refine_face": "inscene.gallery.steps.refine:RefineFace",
    "references": "inscene.raw.steps.references:References",
    "phash": "inscene.gallery.phash:PHash",
    "restore": "inscene.bench.steps:Restore",
    "score": "inscene.bench.steps:ScoreOutputs",
    "sharpness": "inscene.gallery.steps.face_quality:Sharpness",
    "square": "inscene.gallery.steps.square:Square",
    "tag": "inscene.synthetic.steps.tag:TagScenes",
    "take_output": "inscene.bench.steps:TakeOutput",
    "view": "inscene.bench.views:View",
}
"""Name -> "module:Class". A module of the user's own can be named in a recipe the same way."""

CLOSING_STEPS = {"duplicates": "inscene.gallery.duplicates:Duplicates"}
"""The same of steps over the whole table."""

S = TypeVar("S", Step, ClosingStep)


@dataclass(frozen=True)
class BuiltRecipe:
    """A recipe whose steps are checked and constructed."""

    recipe: Recipe
    steps: tuple[tuple[str, Step], ...]
    closing: tuple[tuple[str, ClosingStep], ...] = ()

    @functools.cached_property
    def fingerprint(self) -> dict[str, Any]:
        """All that decides the output, as JSON values; what two runs must share to be one.

        Taken once: it travels to the workers with the recipe, so that a file which changes in the
        meantime (a profile, a folder of outputs) cannot give one run two hashes.
        """
        recipe = self.recipe
        facts = {
            "name": recipe.name,
            "makes": recipe.makes,
            "seed": recipe.seed,
            "split": recipe.split,
            "shard_rows": recipe.shard_rows,
            "steps": [
                {"step": name, "version": step.version, **step.fingerprint()}
                for name, step in self.steps
            ],
        }
        if self.closing:
            facts["closing"] = [
                {"step": name, "version": step.version, **step.fingerprint()}
                for name, step in self.closing
            ]
        return cast("dict[str, Any]", json.loads(canonical_json(facts)))  # as it reads back

    @property
    def hash(self) -> str:
        return content_hash(self.fingerprint)


def build(recipe: Recipe, source: RecipeSource | None = None) -> BuiltRecipe:
    """Construct the steps of a recipe; errors name the line when its source is given."""
    steps = []
    for position, spec in enumerate(recipe.steps):
        steps.append((spec.name, _build_step(spec, ("steps", position), source, step_class)))
    closing = []
    names = [name for name, _ in steps]
    for position, spec in enumerate(recipe.closing):
        place = ("closing", position)
        step = _build_step(spec, place, source, closing_step_class)
        if missing := [name for name in step.needs_steps if name not in names]:
            raise RecipeError(
                f"the closing step {spec.name!r} needs the step {missing[0]!r}",
                where=source.where(*place) if source else None,
                next_step=f"Add '- {missing[0]}' to steps, or leave {spec.name!r} out.",
            )
        if step.makes and recipe.makes not in step.makes:
            raise RecipeError(
                f"the closing step {spec.name!r} is for {', '.join(step.makes)}, not for "
                f"{recipe.makes}",
                where=source.where(*place) if source else None,
            )
        closing.append((spec.name, step))
    return BuiltRecipe(recipe, tuple(steps), tuple(closing))


def step_class(name: str) -> type[Step]:
    return _class_of(name, STEPS, Step, "step")  # type: ignore[type-abstract]


def closing_step_class(name: str) -> type[ClosingStep]:
    return _class_of(name, CLOSING_STEPS, ClosingStep, "closing step")  # type: ignore[type-abstract]


def _class_of(name: str, known: Mapping[str, str], base: type[S], called: str) -> type[S]:
    entry = known.get(name, name)
    module_name, colon, class_name = entry.partition(":")
    if not colon:
        raise RecipeError(
            f"no {called} {name!r}",
            next_step=did_you_mean(name, known) + " A step of your own is named module:Class.",
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # whatever a module of the user's own does when it is imported
        raise RecipeError(
            f"step {name!r} cannot be imported",
            why=f"{type(error).__name__}: {error}.",
            next_step="Is its folder on PYTHONPATH?" if name not in known else "",
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise RecipeError(
            f"{name!r} is not a {called}", next_step=f"Derive it from inscene {base.__name__}."
        )
    return found


def _build_step(
    spec: StepSpec,
    place: tuple[str, int],
    source: RecipeSource | None,
    class_named: Callable[[str], type[S]],
) -> S:
    def where(*keys: str | int) -> str | None:
        return source.where(*place, *keys) if source else None

    try:
        kind = class_named(spec.name)
    except RecipeError as error:
        error.where = where()
        raise
    try:
        return TypeAdapter(kind).validate_python(spec.params)
    except ValidationError as error:
        first = error.errors()[0]
        keys = _keys_of(kind, first["loc"])
        path = ".".join(keys)
        if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            known = [field.name for field in dataclasses.fields(_holder(kind, keys[:-1]))]
            what = f"step {spec.name!r} has no parameter {path!r}"
            next_step = did_you_mean(keys[-1], known) if known else "It takes none."
        else:
            problem = first["msg"].removeprefix("Value error, ")
            what, next_step = f"{spec.name}.{path}: {problem}", ""
        raise RecipeError(what, where=where(spec.name, *keys), next_step=next_step) from error


def _keys_of(kind: type, location: Sequence[int | str]) -> list[str]:
    """The parameters on the way to a mistake; not the members of unions that pydantic adds."""
    keys: list[str] = []
    for key in location[:-1]:
        keys.append(str(key))
        if not dataclasses.is_dataclass(_holder(kind, keys)):
            return keys
    return [*keys, str(location[-1])] if location else [""]


def _holder(kind: type, keys: Sequence[str]) -> Any:
    """The dataclass of a step's nested parameters; for a simple parameter, its type."""
    for key in keys:
        kind = typing.get_type_hints(kind).get(key, object)
    return kind
