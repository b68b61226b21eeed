"""RAW files below a folder, as inputs of a run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from inscene import images
from inscene.dataset.sources import Input, image_input
from inscene.dataset.store import is_url, open_store, readable_name
from inscene.errors import UsageError

RAW_SUFFIXES = frozenset(
    (
        *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".srw"),
        *(".raf", ".orf", ".ori", ".rw2", ".rwl", ".raw", ".pef", ".ptx", ".x3f", ".gpr"),
        *(".3fr", ".fff", ".iiq", ".cap", ".mos", ".mef", ".mrw", ".mdc", ".kdc", ".dcr"),
        *(".dcs", ".erf", ".bay", ".qtk", ".rwz", ".k25", ".kc2", ".dc2"),
    )
)
"""What cameras call their RAW files; what is in one decides LibRaw."""


def list_captures(sources: Sequence[str]) -> list[Input]:
    """Every RAW file of the sources, by id: its path below its source, with several sources behind
    the source's name. Whatever else is there is left out.

    Raises :class:`UsageError` for a source that is missing or without RAW files, and for two of one
    name.
    """
    names = [readable_name(PurePosixPath(_place(source)).name) for source in sources]
    if len(set(names)) < len(names):
        raise UsageError(
            f"two sources are named {max(names, key=names.count)!r}",
            why="Their samples could not be told apart.",
            next_step="Rename one, or run them separately.",
        )
    inputs: list[Input] = []
    for source, name in zip(sources, names, strict=True):
        found = list(_captures(source))
        if not found:
            raise UsageError(
                "holds no RAW files",
                where=source,
                next_step="inscene build gallery reads JPEG, PNG and the like.",
            )
        alone = len(sources) == 1 or [entry.id for entry in found] == [name]
        inputs += [
            entry if alone else dataclasses.replace(entry, id=f"{name}/{entry.id}")
            for entry in found
        ]
    return sorted(inputs, key=lambda entry: entry.id)


def _place(source: str) -> str:
    return source.rstrip("/") if is_url(source) else os.path.abspath(source)


def _captures(source: str) -> Iterator[Input]:
    if is_url(source) and not source.startswith("file://"):
        yield from _remote(source)
        return
    path = Path(os.path.abspath(source.removeprefix("file://")))
    if not os.path.lexists(path):
        raise UsageError("there is no such file or folder", where=source)
    if not path.is_dir():  # whatever its name: it was asked for
        yield image_input(readable_name(path.name), None, path)
        return
    for file in images.iter_image_files(path, RAW_SUFFIXES):
        yield image_input(readable_name(file.relative_to(path).as_posix()), None, file)


def _remote(url: str) -> Iterator[Input]:
    folder, _, last = url.rstrip("/").rpartition("/")
    store, names = (open_store(folder), [last]) if _is_raw(url) else (open_store(url), None)
    for name in store.list("**") if names is None else names:
        if _is_raw(name):
            yield Input(name, None, store.describe(name), state=store.state(name))


def _is_raw(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in RAW_SUFFIXES
