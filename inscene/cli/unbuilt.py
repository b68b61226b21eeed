"""Commands of the contract whose code is still to come: each says so in one line and exits 4."""

from __future__ import annotations

from typing import Annotated

import typer

from inscene.errors import NotBuiltYetError

# Their arguments are checked when they are built; until then anything is accepted.
_Anything = Annotated[list[str] | None, typer.Argument(hidden=True)]

COMMANDS = {
    "train fadex": "Train the degradation encoder",
    "train restorer": "Train the scene restorer",
}


def not_built(command: str) -> NotBuiltYetError:
    return NotBuiltYetError(f"'inscene {command}' is not built yet in this version")


def register(app: typer.Typer, command: str, panel: str | None = None) -> None:
    """Add one of :data:`COMMANDS` to the group that it belongs to."""

    def run(rest: _Anything = None) -> None:
        raise not_built(command)

    app.command(
        command.rpartition(" ")[2],
        help=f"{COMMANDS[command]} (not built yet).",
        rich_help_panel=panel,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(run)


def register_group(app: typer.Typer, group: str) -> None:
    """Add the unbuilt commands of one group."""
    for command in COMMANDS:
        if command.startswith(f"{group} "):
            register(app, command)


def group(name: str, help: str) -> typer.Typer:
    """A group of which no command is built yet."""
    app = typer.Typer(help=help, no_args_is_help=True)
    register_group(app, name)
    return app
