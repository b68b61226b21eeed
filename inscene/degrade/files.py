"""Where profiles, presets and ranges of lenses are found."""

from __future__ import annotations

from pathlib import Path

from inscene.errors import UsageError
from inscene.shipped import shipped_folder, shipped_names
from inscene.suggest import did_you_mean


def find_file(folder: str, name_or_path: str | Path, what: str) -> Path:
    """A file, or the YAML file of that name in ``pipelines/<folder>``; an existing file wins.

    Raises ``UsageError`` that calls it ``what``.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = shipped_folder("pipelines") / folder / f"{name_or_path}.yaml"
    if not shipped.is_file():
        raise UsageError(
            f"no {what} {str(name_or_path)!r}",
            why=f"It is neither a file nor a shipped {what}.",
            next_step=did_you_mean(str(name_or_path), shipped_names("pipelines", folder)),
        )
    return shipped
