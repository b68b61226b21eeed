"""Fetching a weight: from a folder, from the user's Hub cache, or from where it is published."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from inscene.errors import UsageError, VerificationError
from inscene.weights import hub
from inscene.weights.archives import unpack
from inscene.weights.download import Address, download
from inscene.weights.folder import folder_of, path_of
from inscene.weights.manifest import File, Weight
from inscene.weights.pins import read_pins
from inscene.weights.verify import (
    Advance,
    State,
    check,
    pin,
    put_in_place,
    state_of,
)

Started = Callable[[str, int, int], Advance]
"""Called with what begins (``NAME/path``), its size in bytes (0: unknown) and how many of them are
here already; returns what to call with the bytes that have come."""


@dataclass(frozen=True)
class Pulled:
    """What a pull did, file by file."""

    fetched: tuple[str, ...] = ()
    reused: tuple[str, ...] = ()
    """Taken from a folder or the Hub cache: linked where that can be, copied elsewhere."""
    there: tuple[str, ...] = ()


def pull(
    weight: Weight, started: Started = lambda *begins: _ignore, source: Path | None = None
) -> Pulled:
    """Bring all files of a weight into its folder, each verified before it has its name.

    ``source``: a folder that has them under their official names, at any depth or flat; nothing is
    downloaded then. Raises ``MachineError`` (network, disk, gated), ``VerificationError`` (another
    file than it should be), ``UsageError`` (the folder lacks some). What is complete stays.
    """
    folder = folder_of(weight)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # a second pull waits, and finds the files there
        pins = read_pins()
        missing: list[File] = []
        there: list[File] = []
        for file in weight.files:
            state = state_of(weight, file, pins)
            if state is State.UNVERIFIED:
                state = _verify_in_place(weight, file, started)
            (there if state is State.HERE else missing).append(file)
        if not missing:
            return Pulled(there=_paths(there))
        if source is not None:
            _take_from(source, weight, missing, started)
            return Pulled(reused=_paths(missing), there=_paths(there))
        if weight.archive is not None:
            _pull_archive(weight, weight.archive, missing, started)
            return Pulled(fetched=_paths(missing), there=_paths(there))
        reused = [file for file in missing if _pull_file(weight, file, started)]
        fetched = [file for file in missing if file not in reused]
        return Pulled(_paths(fetched), _paths(reused), _paths(there))


def _ignore(count: int) -> None:
    pass


def _paths(files: list[File]) -> tuple[str, ...]:
    return tuple(file.path for file in files)


def _what(weight: Weight, file: File) -> str:
    return f"{weight.name}/{file.path}"


def _verify_in_place(weight: Weight, file: File, started: Started) -> State:
    """A file that someone has put there; one that is wrong is fetched again."""
    path = path_of(weight, file)
    try:
        advance = started(f"verify {_what(weight, file)}", path.stat().st_size, 0)
        sha256, verified_by = check(weight, file, path, advance=advance)
    except VerificationError:
        return State.CHANGED
    pin(weight, file, sha256, verified_by, "put there by hand")
    return State.HERE


def _pull_file(weight: Weight, file: File, started: Started) -> bool:
    """Returns whether the Hub cache had it."""
    if weight.repo is not None and (found := hub.cached(weight, file)) is not None:
        try:
            _adopt(weight, file, found, started, hub.stated_sha256(found))
            return True
        except VerificationError:
            pass  # another file than the manifest's: the published one is fetched
    if weight.repo is not None:
        address = hub.ask(weight, file)
    else:
        assert file.url is not None
        address = Address(file.url, bytes=file.bytes)
    part = Path(f"{path_of(weight, file)}.part")
    sha256, verified_by = _fetch(weight, file, address, part, started)
    put_in_place(part, path_of(weight, file))
    pin(weight, file, sha256, verified_by, address.origin)
    return False


def _fetch(
    weight: Weight, file: File, address: Address, part: Path, started: Started
) -> tuple[str, str]:
    """Download and check; what was resumed and turns out wrong is fetched once more, whole."""
    resumed = part.exists()
    while True:
        have = part.stat().st_size if part.exists() else 0
        advance = started(_what(weight, file), address.bytes or file.about_bytes, have)
        download(address, part, advance)
        try:
            return check(weight, file, part, stated_sha256=address.sha256)
        except VerificationError as error:
            part.unlink()  # never to be taken up again
            if not resumed:
                error.where = address.url
                raise
            resumed = False


def _pull_archive(weight: Weight, archive: File, files: list[File], started: Started) -> None:
    assert archive.url is not None
    folder = folder_of(weight)
    part = folder / f"{archive.path}.part"
    address = Address(archive.url, bytes=archive.bytes)
    _fetch(weight, archive, address, part, started)
    _place_unpacked(weight, files, part, archive.url)
    part.unlink()


def _place_unpacked(weight: Weight, files: list[File], archive: Path, origin: str) -> None:
    unpacked = unpack(archive, [file.path for file in files], folder_of(weight))
    try:
        checked = [(file, *check(weight, file, unpacked[file.path])) for file in files]
        for file, sha256, verified_by in checked:
            put_in_place(unpacked[file.path], path_of(weight, file))
            pin(weight, file, sha256, verified_by, origin)
    finally:
        for left in unpacked.values():
            left.unlink(missing_ok=True)


def _take_from(source: Path, weight: Weight, files: list[File], started: Started) -> None:
    if not source.is_dir():
        raise UsageError("is not a folder", where=str(source))
    found = {file.path: _in_folder(source, weight, file) for file in files}
    lacking = [path for path, place in found.items() if place is None]
    if lacking and weight.archive is not None:
        packed = _in_folder(source, weight, weight.archive)
        if packed is not None:
            check(weight, weight.archive, packed)
            _place_unpacked(weight, files, packed, str(source))
            return
    if lacking:
        raise UsageError(
            f"lacks {', '.join(lacking[:3])}" + (" and more" if len(lacking) > 3 else ""),
            where=str(source),
            next_step=f"They are published at {weight.source}.",
        )
    for file in files:
        place = found[file.path]
        assert place is not None
        _adopt(weight, file, place, started)


def _in_folder(source: Path, weight: Weight, file: File) -> Path | None:
    name = Path(file.path).name
    for place in (
        source / weight.subfolder / file.path,
        source / file.path,
        source / weight.name / file.path,
        source / name,
    ):
        if place.is_file():
            return place
    return None


def _adopt(
    weight: Weight, file: File, place: Path, started: Started, stated_sha256: str | None = None
) -> None:
    """Give a file that is on this machine its place in the weight's folder."""
    advance = started(f"verify {_what(weight, file)}", place.stat().st_size, 0)
    sha256, verified_by = check(weight, file, place, stated_sha256=stated_sha256, advance=advance)
    final = path_of(weight, file)
    part = Path(f"{final}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    try:
        os.link(place.resolve(), part)  # no second copy of 24 GB
    except OSError:  # another disk, or one without links
        shutil.copyfile(place, part)
    put_in_place(part, final)
    pin(weight, file, sha256, verified_by, str(place))
