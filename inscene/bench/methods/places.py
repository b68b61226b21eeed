"""Where the repositories of external methods and the logs of their runs lie."""

from __future__ import annotations

import os
import re
from pathlib import Path

METHODS_VARIABLE = "INSCENE_METHODS"
"""Environment variable: a folder that takes the place of ``~/.cache/inscene/methods``."""


def methods_root() -> Path:
    given = os.environ.get(METHODS_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    return Path.home() / ".cache" / "inscene" / "methods"


def log_folder(method: str) -> Path:
    return methods_root() / "_logs" / plain(method)


def plain(name: str) -> str:
    """A name with nothing in it that a shell, a glob or a file system could take amiss."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:40] or "unnamed"


def shown(path: Path) -> str:
    """A path for people, who may share it: the home folder is written ``~``."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except ValueError:
        return str(path)
