"""Placeholders in the arguments of a command: ``--input {input}``."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping

from inscene.suggest import did_you_mean

PLACEHOLDERS = {
    "python": "the interpreter of the command's own environment",
    "checkout": "the folder that the repository was cloned into",
    "input": "the LQ images: a folder, or for scope image the file",
    "output": "where to write: a folder, or for scope image the file",
    "input_folder": "the folder of the LQ images, whatever the scope",
    "output_folder": "the folder to write into, whatever the scope",
    "references": "a folder with other photographs of the person (scope image)",
    "seed": "the manifest's seed",
    "work": "the run's own folder, which holds all of these and the files of the manifest",
}


def names(text: str) -> list[str]:
    """The placeholders in a text. Raises ``ValueError`` where its braces make no sense."""
    found = []
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is not None:
            if spec or conversion:
                raise ValueError(f"{text!r}: a placeholder has a name and nothing else")
            found.append(name)
    return found


def check(text: str, known: Iterable[str]) -> None:
    """Raise ``ValueError`` for a placeholder that is not known."""
    for name in names(text):
        if name not in known:
            near = did_you_mean(name, known)
            raise ValueError(f"no placeholder {{{name}}}. {near} A brace is written twice.")


def filled(text: str, values: Mapping[str, str]) -> str:
    return text.format_map(values)
