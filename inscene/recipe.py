"""Recipes: what is run, as YAML in ``pipelines/`` or in a file of the user's.

A recipe is a head (name, kind of table it makes, seed, sizes) and an ordered list of steps with
their parameters. Every mistake in it is found before any work starts, and named with file and line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from inscene import schema
from inscene.errors import RecipeError
from inscene.shipped import shipped_folder, shipped_names
from inscene.suggest import did_you_mean


class StepSpec(BaseModel):
    """A step's name and its parameters; the registry knows what they mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    params: dict[str, Any] = {}


class Recipe(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    makes: str
    """Kind of table: scenes, pairs or results."""
    seed: int = 0
    split: str = "train"
    """Split of rows whose source names none."""
    shard_rows: Annotated[int, Field(ge=1, le=256)] = 64
    """Inputs a shard: what is lost at most when a worker dies."""
    batch_rows: Annotated[int, Field(ge=1, le=256)] = 8
    """Inputs a step sees at once: bounds the memory of a worker."""
    steps: list[StepSpec]
    closing: list[StepSpec] = []
    """Steps over the whole table, when all shards are done."""

    @field_validator("makes")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        if value not in schema.KINDS:
            raise ValueError(did_you_mean(value, schema.KINDS))
        return value

    @field_validator("steps", mode="before")
    @classmethod
    def _steps_as_written(cls, value: object) -> object:
        """``- decode`` and ``- decode: {max_megapixels: 40}`` are both steps."""
        if not isinstance(value, list) or not value:
            raise ValueError("a list of at least one step is needed")
        return [_step_spec(entry) for entry in value]

    @field_validator("closing", mode="before")
    @classmethod
    def _closing_as_written(cls, value: object) -> object:
        """As steps are, but there may be none."""
        if not isinstance(value, list | None):
            raise ValueError("a list of closing steps is needed, or [] for none")
        return [_step_spec(entry) for entry in value or []]


def _step_spec(entry: object) -> object:
    if isinstance(entry, str):
        return {"name": entry}
    if isinstance(entry, Mapping) and len(entry) == 1:
        (name, params), *_ = entry.items()
        if params is None or isinstance(params, Mapping):
            return {"name": name, "params": dict(params or {})}
    raise ValueError(f"a step is a name, or one name with its parameters; got {entry!r}")


class RecipeSource:
    """A recipe's YAML text with the line of each key, for error messages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.overridden: set[str] = set()
        """Keys that ``--set`` has changed: a mistake in one of them is not the file's."""
        try:
            text = path.read_text(encoding="utf-8")
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError("cannot be read", where=str(path), why=f"{error}.") from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            problem = getattr(error, "problem", None) or str(error)
            raise RecipeError("is not valid YAML", where=where, why=f"{problem}.") from error
        if not isinstance(self.data, dict):
            raise RecipeError("is not a recipe: a mapping of keys is needed", where=str(path))

    def where(self, *keys: str | int) -> str:
        """``file:line`` of the deepest of these keys that exists, or the ``--set`` that gave it."""
        keys = self._as_written(keys)
        for given in (str(keys[0]) if keys else "", ".".join(map(str, keys[2:]))):
            if given in self.overridden:
                return f"--set {given}"
        node, line = self._root, 0
        for key in keys:
            child = _child(node, key)
            if child is None:
                break
            line, node = child
        return f"{self.path}:{line + 1}"

    def _as_written(self, keys: tuple[str | int, ...]) -> tuple[str | int, ...]:
        """A step's place in the file, from its place among those that are not left out."""
        entries = self.data.get(keys[0]) if keys else None
        if not (self.overridden and isinstance(entries, list) and len(keys) > 1):
            return keys
        stay = [n for n, one in enumerate(entries) if _name_of(one) not in self.overridden]
        place = keys[1]
        if not isinstance(place, int) or place >= len(stay):
            return keys
        return (keys[0], stay[place], *keys[2:])


def _name_of(entry: object) -> object:
    return next(iter(entry), None) if isinstance(entry, dict) else entry


def _child(node: yaml.Node | None, key: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return name.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line, node.value[key]
    return None


def find_recipe(name_or_path: str) -> Path:
    """A path of the user's wins over a shipped recipe's name."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = shipped_folder("pipelines") / f"{name_or_path}.yaml"
    if shipped.is_file():
        return shipped
    raise RecipeError(
        f"no recipe {name_or_path!r}",
        why="It is neither a file nor the name of a shipped recipe.",
        next_step=did_you_mean(name_or_path, shipped_names("pipelines")),
    )


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> tuple[Recipe, RecipeSource]:
    """Read, override (``seed=3``, ``decode.max_megapixels=40``) and check the head of a recipe.

    Parameters of the steps are checked when the steps are built (:mod:`inscene.engine.registry`).
    """
    source = RecipeSource(find_recipe(name_or_path))
    data = dict(source.data)
    for override in overrides:
        data = _overridden(data, override)
    source.overridden = {override.partition("=")[0] for override in overrides}
    try:
        return Recipe.model_validate(data), source
    except ValidationError as error:
        raise _as_recipe_error(error, source) from error


def _as_recipe_error(error: ValidationError, source: RecipeSource) -> RecipeError:
    found = error.errors()
    # A misspelt key is also a missing one: its spelling is what to mend.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    keys = [key for key in first["loc"] if isinstance(key, str | int)]
    if first["type"] == "extra_forbidden":
        what, next_step = f"unknown key {keys[-1]!r}", did_you_mean(str(keys[-1]), _HEAD_KEYS)
    elif first["type"] == "missing":
        what, next_step = f"the key {keys[-1]!r} is missing", ""
    else:
        problem = first["msg"].removeprefix("Value error, ")
        what, next_step = f"{'.'.join(map(str, keys))}: {problem}", ""
    return RecipeError(what, where=source.where(*keys), next_step=next_step)


_HEAD_KEYS = tuple(Recipe.model_fields)


def _overridden(data: dict[str, Any], override: str) -> dict[str, Any]:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError(
            f"--set {override!r} is not KEY=VALUE",
            next_step="For example --set seed=3 or --set decode.max_megapixels=40.",
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override!r}: the value is not valid YAML") from error
    step, dot, param = path.partition(".")
    leave_out = not dot and value is None and path not in _HEAD_KEYS
    if not dot and not leave_out:
        if _is_step(data, path):
            raise RecipeError(
                f"--set {override!r}: {path!r} is a step",
                next_step=f"Set one of its parameters, {path}.NAME=VALUE, or leave it out, "
                f"{path}=null.",
            )
        if path not in _HEAD_KEYS or path == "steps":
            settable = [key for key in _HEAD_KEYS if key != "steps"]
            raise RecipeError(
                f"--set: no key {path!r} in a recipe",
                next_step=did_you_mean(path, settable)
                + " A step's key is STEP.KEY; STEP=null leaves it out.",
            )
        return {**data, path: value}
    try:
        specs = {
            section: [_step_spec(entry) for entry in data.get(section) or []]
            for section in ("steps", "closing")
        }
    except (TypeError, ValueError) as error:
        raise RecipeError(f"--set {override!r}: the recipe's steps: {error}") from error
    names = [spec["name"] for part in specs.values() for spec in part if isinstance(spec, dict)]
    if step not in names:
        raise RecipeError(f"--set: no step {step!r} here", next_step=did_you_mean(step, names))
    if leave_out:
        return {**data, **{s: _others(part, step) for s, part in specs.items() if part}}
    changed = {
        section: [
            {spec["name"]: _with(spec.get("params", {}), param.split("."), value)}
            if spec["name"] == step
            else {spec["name"]: spec.get("params", {})}
            for spec in part
            if isinstance(spec, dict)
        ]
        for section, part in specs.items()
    }
    return {**data, **{section: part for section, part in changed.items() if part}}


def _is_step(data: Mapping[str, Any], name: str) -> bool:
    sections = (data.get(section) for section in ("steps", "closing"))
    specs = [spec for part in sections if isinstance(part, list) for spec in part]
    return any(spec == name or (isinstance(spec, dict) and name in spec) for spec in specs)


def _others(specs: Sequence[object], step: str) -> list[object]:
    """All steps but this one, as they are written."""
    return [
        {spec["name"]: spec.get("params", {})}
        for spec in specs
        if isinstance(spec, dict) and spec["name"] != step
    ]


def _with(params: Mapping[str, Any], keys: Sequence[str], value: object) -> dict[str, Any]:
    """The parameters with one more, that may lie in others: ``identity.min``."""
    key, *deeper = keys
    if deeper:
        inside = params.get(key)
        value = _with(inside if isinstance(inside, Mapping) else {}, deeper, value)
    return {**params, key: value}


def canonical_json(value: object) -> str:
    """Sorted keys, no blanks, shortest floats: the same value gives the same text everywhere."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
