"""What pydantic found wrong with a profile or an operator, as a user sees the data."""

from __future__ import annotations

import typing
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from inscene.suggest import did_you_mean

Model = type[BaseModel]
Keys = tuple[str | int, ...]


def explain(error: ValidationError, model: Model) -> tuple[str, Keys, str]:
    """The first problem as (what, the keys that lead to it, next step or nothing)."""
    first = error.errors()[0]
    keys, known = _follow(first["loc"], model)
    dotted = ".".join(map(str, keys))
    if first["type"] == "extra_forbidden":
        return f"unknown key {dotted!r}", keys, did_you_mean(str(keys[-1]), known)
    if first["type"] == "missing":
        return f"the key {dotted!r} is missing", keys, ""
    message = first["msg"].removeprefix("Value error, ")
    return f"{dotted}: {message}" if dotted else message, keys, ""


def _follow(location: Keys, model: Model) -> tuple[Keys, Sequence[str]]:
    """The location as keys of the data, and the keys that are known where its last one stands.

    pydantic puts the kind of a value (``iso``, ``poisson``) between the keys; the data has no such
    level.
    """
    keys: list[str | int] = []
    models, known = [model], list(model.model_fields)
    for key in location:
        if len(models) > 1 and (kinds := [kind for kind in models if key in _literals(kind)]):
            models = kinds
            continue
        keys.append(key)
        known = [name for kind in models for name in kind.model_fields]
        if isinstance(key, str):
            fields = [kind.model_fields[key] for kind in models if key in kind.model_fields]
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return tuple(keys), known


def _literals(model: Model) -> set[object]:
    """All words that the model's own fields may hold."""
    return {
        word
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
        for word in typing.get_args(field.annotation)
    }


def _models_in(annotation: object) -> list[Model]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
