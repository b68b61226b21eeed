"""A method from its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inscene.bench.methods.base import Method
from inscene.bench.methods.builtin import Builtin, open_own
from inscene.bench.methods.command import Command
from inscene.bench.methods.folder import Folder
from inscene.bench.methods.manifest import (
    BuiltinManifest,
    FolderManifest,
    load_manifest,
)
from inscene.errors import UsageError
from inscene.shipped import shipped_folder, shipped_names
from inscene.suggest import did_you_mean

FOLDER = "folder:"
_ENDINGS = (".yaml", ".yml")


def find_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """The method of that name: a shipped one's, ``folder:DIR``, or the path of a manifest; with
    other parameters, where it has such ``options``.

    Raises :class:`UsageError` with the nearest known name, :class:`inscene.errors.RecipeError`
    where a manifest is not one.
    """
    return _find(name).with_options(options or {})


def _find(name: str) -> Method:
    if name == FOLDER:
        raise UsageError(f"{FOLDER} names no folder", next_step=f"Give {FOLDER}DIR.")
    if name.startswith(FOLDER):
        folder = Path(name.removeprefix(FOLDER))
        # By its own name only: results are shared, and a whole path says things about a machine.
        return Folder(f"{FOLDER}{folder.resolve().name}", folder)
    if name.endswith(_ENDINGS):
        return _from_manifest(Path(name))
    known = shipped_names("manifests", "methods")
    if name not in known:
        raise UsageError(
            f"no method {name!r}",
            next_step=f"{did_you_mean(name, known)} Or {FOLDER}DIR, or the path of a manifest.",
        )
    return _from_manifest(shipped_folder("manifests") / "methods" / f"{name}.yaml")


def absolute(name: str) -> str:
    """A method's name with the whole path in it, where it is one: workers may run elsewhere."""
    if name.startswith(FOLDER) and name != FOLDER:
        return f"{FOLDER}{os.path.abspath(name.removeprefix(FOLDER))}"
    return os.path.abspath(name) if name.endswith(_ENDINGS) else name


def _from_manifest(path: Path) -> Method:
    manifest = load_manifest(path)
    if isinstance(manifest, BuiltinManifest):
        if manifest.takes == "sample":
            return open_own(path.stem, manifest)
        return Builtin(path.stem, manifest)
    if isinstance(manifest, FolderManifest):
        return Folder(path.stem, path.parent / manifest.folder, manifest.resize_to_gt)
    return Command(path.stem, manifest, path.parent.absolute())
