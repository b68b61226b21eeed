"""Options of ``bench`` and ``restore`` that are parameters of methods."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inscene.errors import UsageError
from inscene.suggest import did_you_mean

if TYPE_CHECKING:
    from inscene.bench.methods import Method

Checkpoint = Annotated[
    str | None,
    typer.Option(
        help="Face2Scene checkpoint: a folder, or OWNER/NAME on the Hub. "
        "Default: face2scene-small, which ships.",
        metavar="C",
    ),
]
References = Annotated[
    str | None,
    typer.Option(
        help="Photographs of the person, or a sub-folder for each person, for methods that restore "
        "with them.",
        metavar="DIR",
    ),
]
OfMethod = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="KEY=VALUE", help="Parameter of methods that have it; repeatable."
    ),
]


def method_options(
    given: Sequence[str] | None,
    checkpoint: str | None,
    references: str | None,
    own: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """``KEY=VALUE`` with YAML values, and those that have options of their own: where these are not
    None, they count."""
    import yaml

    from inscene.face2scene import embedded
    from inscene.restore.ref_fr import absolute

    options: dict[str, Any] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--option takes KEY=VALUE, not {text!r}")
        options[key] = yaml.safe_load(value)
    own = {"checkpoint": checkpoint, **(own or {})}
    options |= {key: value for key, value in own.items() if value is not None}
    # A worker may have another working directory.
    for key in ("checkpoint", "base"):
        path = options.get(key)
        if not isinstance(path, str) or path == embedded.NAME:
            continue
        if os.path.exists(os.path.expanduser(path)):
            options[key] = os.path.abspath(os.path.expanduser(path))
    for key in ("ref_fr", "blind"):
        if isinstance(name := options.get(key), str):
            options[key] = absolute(name)
    if references is not None:
        options["with_references"] = True
    return options


def check_known(options: dict[str, Any], methods: Sequence[Method]) -> None:
    """Raise :class:`UsageError` for an option that none of the methods has a use for."""
    names = ", ".join(method.name for method in methods)
    if "with_references" in options and not any(method.uses_references for method in methods):
        raise UsageError(f"--references are of no use to {names}")
    known = {name for method in methods for name in method.options} - {"with_references"}
    for key in options:
        if key not in known and key != "with_references":
            raise UsageError(
                f"no parameter {key!r} of {names}",
                next_step=did_you_mean(key, known) if known else "It has none.",
            )
