"""From a weight's name to its verified files. Nothing is ever downloaded here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inscene.errors import MachineError, UsageError
from inscene.weights.folder import folder_of, path_of
from inscene.weights.manifest import File, Weight, load_manifest
from inscene.weights.pins import read_pins
from inscene.weights.sizes import in_words
from inscene.weights.verify import State, check, key_of, pin, state_of


class MissingWeightError(MachineError):
    """A model that is not on this machine; says how large it is, under which licence, and how to
    get it."""


def missing(weight: Weight, lacking: list[File]) -> MissingWeightError:
    with_needs = load_manifest().with_needs([weight.name])
    size = in_words(sum(one.download_bytes for one in with_needs) or None)
    return MissingWeightError(
        f"the weights {weight.name!r} are not on this machine: {files_in_words(lacking)}",
        why=f"{weight.about}. {size} to download. Licence: {weight.licence.name}, "
        f"{weight.licence.allows}.",
        next_step=f"Run: inscene weights pull {weight.name}",
    )


def files_in_words(files: Sequence[File]) -> str:
    """The first three, each with its size."""
    named = ", ".join(f"{file.path} ({in_words(file.about_bytes)})" for file in files[:3])
    return named + (f" and {len(files) - 3} more" if len(files) > 3 else "")


def find_file(name: str, path: str | None = None) -> Path:
    """One file of a weight, verified; ``path`` may be left out where it has only one.

    Raises ``MissingWeightError`` (exit code 4) where it is not there, ``VerificationError`` where
    it is another file than the manifest or its pin says.
    """
    weight = load_manifest()[name]
    file = _one(weight, path)
    _verified(weight, [file])
    return path_of(weight, file)


def find_folder(name: str) -> Path:
    """The folder of a weight, all of its files verified. Raises as :func:`find_file`."""
    weight = load_manifest()[name]
    _verified(weight, weight.files)
    return folder_of(weight)


def hashes_of(name: str) -> dict[str, str]:
    """path -> SHA-256 of a weight that is here: what decides a result. Raises as
    :func:`find_file`."""
    weight = load_manifest()[name]
    return _verified(weight, weight.files)


def hash_of(name: str, path: str | None = None) -> str:
    """SHA-256 of one file of a weight. Raises as :func:`find_file`."""
    weight = load_manifest()[name]
    file = _one(weight, path)
    return _verified(weight, [file])[file.path]


def _one(weight: Weight, path: str | None) -> File:
    if path is not None:
        return weight.file(path)
    if len(weight.files) > 1:
        raise UsageError(f"{weight.name} has {len(weight.files)} files, and one is needed")
    return weight.files[0]


def _verified(weight: Weight, files: list[File]) -> dict[str, str]:
    pins = read_pins()
    states = {file.path: state_of(weight, file, pins) for file in files}
    lacking = [file for file in files if states[file.path] is State.MISSING]
    if lacking:
        raise missing(weight, lacking)
    hashes = {}
    for file in files:
        if states[file.path] is State.HERE:
            hashes[file.path] = pins[key_of(weight, file)].sha256
            continue
        checked = check(weight, file, path_of(weight, file), taken=True)
        pin(weight, file, checked, "put there by hand")
        hashes[file.path] = checked.sha256
    return hashes
