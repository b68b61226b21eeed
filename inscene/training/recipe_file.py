"""Recipes whose keys lie in one another, from YAML and ``--set``, with every mistake named by file
and line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from inscene.errors import RecipeError
from inscene.recipe import RecipeSource, find_recipe
from inscene.suggest import did_you_mean

M = TypeVar("M", bound=BaseModel)


def load(model: type[M], name_or_path: str, overrides: Sequence[str] = ()) -> M:
    """``overrides`` are ``steps=100`` or ``data.faces.stand_in=false``. Raises ``RecipeError``."""
    source = RecipeSource(find_recipe(name_or_path))
    data: dict[str, Any] = dict(source.data)
    given = set()
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise RecipeError(
                f"--set {override!r} is not KEY=VALUE",
                next_step="For example --set seed=3 or --set data.crop_px=256.",
            )
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {override!r}: the value is not valid YAML") from error
        data = _with(data, path.split("."), value, override)
        given.add(path)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explained(error, model, source, given) from error


def _with(data: dict[str, Any], keys: Sequence[str], value: Any, override: str) -> dict[str, Any]:
    key, *deeper = keys
    if deeper:
        inside = data.get(key)
        if inside is not None and not isinstance(inside, dict):
            raise RecipeError(f"--set {override!r}: {key} is a value, and has no keys")
        value = _with(inside or {}, deeper, value, override)
    return {**data, key: value}


def _explained(
    error: ValidationError, model: type[BaseModel], source: RecipeSource, given: set[str]
) -> RecipeError:
    found = error.errors()
    # A misspelt key is also a missing one: its spelling is what to mend.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    keys = [key for key in first["loc"] if isinstance(key, str | int)]
    dotted = ".".join(map(str, keys))
    problem = first["msg"].removeprefix("Value error, ")
    named = next((one for one in given if one == dotted or dotted.startswith(f"{one}.")), None)
    where = f"--set {named}" if named else source.where(*keys)
    if first["type"] != "extra_forbidden":
        return RecipeError(f"{dotted}: {problem}" if dotted else problem, where=where)
    known = _fields(model, [str(key) for key in keys[:-1]])
    next_step = did_you_mean(str(keys[-1]), known)
    return RecipeError(f"unknown key {dotted!r}", where=where, next_step=next_step)


def _fields(model: type[BaseModel], keys: Sequence[str]) -> list[str]:
    """Of the model that lies at ``keys``."""
    for key in keys:
        inside = model.model_fields[key].annotation
        options = (inside, *getattr(inside, "__args__", ()))
        model = next(
            (one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), model
        )
    return list(model.model_fields)
