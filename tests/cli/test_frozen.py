"""The command tree is a contract: a change here is a change for every user's scripts.

After a change that is meant, write the new tree: ``python tests/cli/test_frozen.py``.
"""

from pathlib import Path

import typer

from inscene.cli.app import app

FROZEN = Path(__file__).with_name("command_tree.txt")


def command_tree() -> str:
    lines: list[str] = []

    def walk(command: object, path: str) -> None:
        children = getattr(command, "commands", None)
        if children is not None:
            for name in sorted(children):
                walk(children[name], f"{path} {name}")
            return
        options = []
        for param in command.params:  # type: ignore[attr-defined]
            if getattr(param, "hidden", False) or param.name == "help":
                continue
            flags = param.opts if param.param_type_name == "option" else [param.name.upper()]
            options.append("/".join(flags) + ("!" if param.required else ""))
        lines.append(" ".join([path, *sorted(options)]))

    walk(typer.main.get_command(app), "inscene")
    return "\n".join(lines) + "\n"


def test_the_command_tree_is_the_frozen_one() -> None:
    assert command_tree() == FROZEN.read_text("utf-8")


if __name__ == "__main__":
    FROZEN.write_text(command_tree(), "utf-8")
