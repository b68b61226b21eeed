"""Fetching a weight: from a folder, from the user's Hub cache, or from where it is published."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from inscene.errors import InsceneError, MachineError, UsageError, VerificationError
from inscene.weights import hub
from inscene.weights.archives import unpack
from inscene.weights.download import Address, download, forget_origin
from inscene.weights.folder import folder_of, path_of
from inscene.weights.manifest import File, Weight, load_manifest
from inscene.weights.pins import read_pins
from inscene.weights.verify import Advance, Checked, State, check, pin, put_in_place, state_of

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

    ``source``: a folder that has them under their official names; nothing is downloaded then.
    Raises ``MachineError`` (network, disk, gated), ``VerificationError`` (another file than it
    should be), ``UsageError`` (the folder lacks some). What is complete stays.
    """
    if all(state is State.HERE for state in _states(weight).values()):
        return Pulled(there=_paths(weight.files))  # a folder that others keep may be read-only
    with _named(weight), _locked(weight, started):
        states = _states(weight)
        missing: list[File] = []
        there: list[File] = []
        for file in weight.files:
            state = states[file.path]
            if state in (State.UNVERIFIED, State.CHANGED):
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


def _states(weight: Weight) -> dict[str, State]:
    pins = read_pins()
    return {file.path: state_of(weight, file, pins) for file in weight.files}


@contextmanager
def _named(weight: Weight) -> Iterator[None]:
    """Errors say which weight they are about, and those of the disk what to do."""
    try:
        yield
    except InsceneError as error:
        error.next_step = error.next_step.replace(" NAME ", f" {weight.name} ")
        if weight.name not in error.what:
            error.what = f"{weight.name}: {error.what}"
        raise
    except OSError as error:
        raise MachineError(
            f"{weight.name}: {error.strerror or error}",
            where=str(error.filename or folder_of(weight)),
            next_step="Make room, or set INSCENE_WEIGHTS to a folder that can be written.",
        ) from error


@contextmanager
def _locked(weight: Weight, started: Started) -> Iterator[None]:
    """One pull of a weight at a time: a second one waits, and finds the files there."""
    folder = folder_of(weight)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        started(f"waiting for another pull of {weight.name}", 0, 0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _verify_in_place(weight: Weight, file: File, started: Started) -> State:
    """A file that someone has put there, or changed; one that is wrong is fetched again."""
    path = path_of(weight, file)
    try:
        advance = started(f"verify {_what(weight, file)}", path.stat().st_size, 0)
        checked = check(weight, file, path, taken=True, advance=advance)
        pin(weight, file, checked, "put there by hand")
    except VerificationError:
        return State.CHANGED
    return State.HERE


def _pull_file(weight: Weight, file: File, started: Started) -> bool:
    """Returns whether the Hub cache had it."""
    if weight.repo is not None and (found := hub.cached(weight, file)) is not None:
        try:
            _adopt(weight, file, found, started, stated=hub.stated_by(found.name))
            return True
        except VerificationError:
            pass  # another file than the manifest's, or a damaged one: the published one is fetched
    if weight.repo is not None:
        address = hub.ask(weight, file)
    else:
        assert file.url is not None
        address = Address(file.url, bytes=file.bytes)
    part = Path(f"{path_of(weight, file)}.part")
    checked = _fetch(weight, file, address, part, started)
    put_in_place(part, path_of(weight, file))
    pin(weight, file, checked, address.origin)
    return False


def _fetch(
    weight: Weight,
    file: File,
    address: Address,
    part: Path,
    started: Started,
    unpacked_bytes: int = 0,
) -> Checked:
    """Download and check; what was resumed and turns out wrong is fetched once more, whole."""
    resumed = part.exists()
    while True:
        have = part.stat().st_size if part.exists() else 0
        advance = started(_what(weight, file), address.bytes or file.about_bytes or 0, have)
        download(address, part, advance, unpacked_bytes)
        size_bytes = part.stat().st_size
        hashing = started(f"verify {_what(weight, file)}", size_bytes, 0)
        try:
            checked = check(weight, file, part, stated=address.stated, advance=hashing)
        except VerificationError as error:
            part.unlink()  # never to be taken up again
            forget_origin(part)
            if not resumed:
                error.where = address.url
                raise
            resumed = False
        else:
            forget_origin(part)
            return checked


def _pull_archive(weight: Weight, archive: File, files: list[File], started: Started) -> None:
    assert archive.url is not None
    part = folder_of(weight) / f"{archive.path}.part"
    address = Address(archive.url, bytes=archive.bytes)
    _fetch(weight, archive, address, part, started, sum(file.bytes or 0 for file in files))
    try:
        _place_unpacked(weight, files, part, archive.url)
    finally:
        part.unlink()


def _place_unpacked(weight: Weight, files: list[File], archive: Path, origin: str) -> None:
    unpacked = unpack(archive, [file.path for file in files], folder_of(weight))
    try:
        checked = [(file, check(weight, file, unpacked[file.path])) for file in files]
        for file, found in checked:
            put_in_place(unpacked[file.path], path_of(weight, file))
            pin(weight, file, found, origin)
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
            next_step=f"They are published at {weight.source}. Files that share their name with "
            f"another model's are looked for in {source.name}/{weight.name} only.",
        )
    for file in files:
        place = found[file.path]
        assert place is not None
        _adopt(weight, file, place, started, taken=True)


def _in_folder(source: Path, weight: Weight, file: File) -> Path | None:
    """Where the folder has it: in one of the weight's name, as the repository has it, or flat. The
    last two only where the file cannot be another model's."""
    named = source / weight.name
    places = [named / weight.subfolder / file.path, named / file.path, named / Path(file.path).name]
    if source.name == weight.name or file.hash_is_known or _is_unmistakable(file):
        places += [
            source / weight.subfolder / file.path,
            source / file.path,
            source / Path(file.path).name,
        ]
    return next((place for place in places if place.is_file()), None)


def _is_unmistakable(file: File) -> bool:
    """No other model has a file with this base name."""
    name = Path(file.path).name
    every = [Path(one.path).name for weight in load_manifest().values() for one in weight.files]
    return every.count(name) <= 1


def _adopt(
    weight: Weight,
    file: File,
    place: Path,
    started: Started,
    *,
    stated: str | None = None,
    taken: bool = False,
) -> None:
    """Give a file that is on this machine its place in the weight's folder."""
    final = path_of(weight, file)
    # No .part: a download would write on in it, and so in the file that it may be a link to.
    temporary = Path(f"{final}.adopt")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(place.resolve(), temporary)  # no second copy of 24 GB
        except OSError:  # another disk, or one without links
            shutil.copyfile(place, temporary)
        advance = started(f"verify {_what(weight, file)}", temporary.stat().st_size, 0)
        checked = check(weight, file, temporary, stated=stated, taken=taken, advance=advance)
        put_in_place(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
    pin(weight, file, checked, str(place))
