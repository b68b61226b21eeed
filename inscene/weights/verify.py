"""Whether a file is what the manifest, or its pin, says."""

from __future__ import annotations

import enum
import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from inscene.errors import VerificationError
from inscene.weights.folder import path_of
from inscene.weights.manifest import File, Weight
from inscene.weights.pins import Pin, read_pins, write_pin

CHUNK_BYTES = 4 * 2**20
GIT_UP_TO_BYTES = 64 * 2**20
"""Larger ones are always stored by their SHA-256."""
FOUND_CHANGED = -1
Advance = Callable[[int], None]
"""Called with the bytes that have been worked on since the last call."""


class State(enum.StrEnum):
    HERE = "here"
    """Its size is right, and it has not been touched since it was verified."""
    UNVERIFIED = "unverified"
    """It lies there, put by someone: its hash is taken when it is first used."""
    CHANGED = "changed"
    """It is not what was verified, or has the wrong size."""
    MISSING = "missing"


def key_of(weight: Weight, file: File) -> str:
    return f"{weight.name}/{file.path}"


def state_of(weight: Weight, file: File, pins: Mapping[str, Pin]) -> State:
    """At a glance: without reading the file."""
    try:
        facts = path_of(weight, file).stat()
    except OSError:
        return State.MISSING
    pin = pins.get(key_of(weight, file))
    if not file.may_have(facts.st_size) or (pin is not None and pin.modified_ns == FOUND_CHANGED):
        return State.CHANGED
    if pin is None or (pin.modified_ns, pin.changed_ns) != (facts.st_mtime_ns, facts.st_ctime_ns):
        return State.UNVERIFIED
    return State.HERE if pin.bytes == facts.st_size and file.fits(pin.sha256) else State.CHANGED


@dataclass(frozen=True)
class Checked:
    """What hashing a file found."""

    sha256: str
    verified_by: str
    identity: tuple[int, int, int]
    """Inode, size and time of the content that was hashed."""


def check(
    weight: Weight,
    file: File,
    path: Path,
    *,
    stated: str | None = None,
    taken: bool = False,
    advance: Advance = lambda count: None,
) -> Checked:
    """Hash a file that may become, or is, the weight's, and compare it with all that is known.

    ``stated`` is what the hub says: ``sha256:…``, or ``git:…`` of a small file. ``taken``: it is
    from a folder of the user's. Raises ``VerificationError``: it names the difference.
    """
    with path.open("rb") as stream:
        before = os.fstat(stream.fileno())
        if not file.may_have(before.st_size):
            about = f"{file.bytes:,}" if file.bytes is not None else f"about {file.about_mb} MB"
            why = f"It has {before.st_size:,} bytes; the manifest says {about}."
            raise _mismatch(weight, file, why)
        sha256, git = _hashes(stream, before.st_size, advance)
        identity = _identity(before)
        if _identity(os.fstat(stream.fileno())) != identity:
            raise _mismatch(weight, file, "It changed while it was read.")
    if not file.fits(sha256):
        wanted = file.sha256 or f"{file.sha256_prefix}…"
        raise _mismatch(weight, file, f"Its SHA-256 is {sha256}; the manifest says {wanted}.")
    if stated is not None and stated not in (f"sha256:{sha256}", f"git:{git}"):
        raise _mismatch(weight, file, f"Its hashes are {sha256}, git {git}; the hub says {stated}.")
    pin = read_pins().get(key_of(weight, file))
    differs = pin is not None and pin.sha256 != sha256 and not file.hash_is_known
    # What was taken from a folder, by size alone, gives way to what the hub vouches for.
    outranked = pin is not None and pin.verified_by == "folder" and stated is not None
    if differs and not outranked:
        assert pin is not None
        raise _mismatch(
            weight,
            file,
            f"Its SHA-256 is {sha256}; at its first download it was {pin.sha256}.",
            next_step=f"Fetch it again: inscene weights pull {weight.name}. If its publisher has "
            "replaced it, and you trust that, delete its entry in pins.json before "
            "('inscene weights where').",
        )
    if file.hash_is_known:
        return Checked(sha256, "manifest", identity)
    if stated is not None:
        return Checked(sha256, "hub", identity)
    if file.sha256_prefix is not None:
        return Checked(sha256, "prefix", identity)
    if pin is not None and pin.sha256 == sha256:
        return Checked(sha256, pin.verified_by, identity)
    return Checked(sha256, "folder" if taken else "first download", identity)


def pin(weight: Weight, file: File, checked: Checked, origin: str) -> None:
    """Remember that the file in its place was found to be this one. Raises ``VerificationError``
    where it is another one by now."""
    facts = path_of(weight, file).stat()
    if _identity(facts) != checked.identity:
        raise _mismatch(weight, file, "It changed after it was read.")
    previous = read_pins().get(key_of(weight, file))
    if previous is not None and previous.sha256 == checked.sha256:
        origin = previous.origin
    times = facts.st_mtime_ns, facts.st_ctime_ns
    _write(weight, file, Pin(checked.sha256, facts.st_size, *times, checked.verified_by, origin))


def pin_as_changed(weight: Weight, file: File) -> None:
    """Remember that the file in its place is not what it was."""
    previous = read_pins().get(key_of(weight, file))
    if previous is not None:
        _write(weight, file, replace(previous, modified_ns=FOUND_CHANGED))


def _write(weight: Weight, file: File, new: Pin) -> None:
    try:
        write_pin(key_of(weight, file), new)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        # A folder that others keep: the file is hashed in each process.


def _identity(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _hashes(stream: BinaryIO, size_bytes: int, advance: Advance) -> tuple[str, str]:
    """SHA-256, and the name that git would give it: the hub states that of small files."""
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size_bytes)
    small = size_bytes <= GIT_UP_TO_BYTES
    while chunk := stream.read(CHUNK_BYTES):
        sha256.update(chunk)
        if small:
            git.update(chunk)
        advance(len(chunk))
    return sha256.hexdigest(), git.hexdigest() if small else ""


def put_in_place(temporary: Path, final: Path) -> None:
    """Verified and whole, under its own name, or not at all."""
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(temporary, final)


def _mismatch(weight: Weight, file: File, why: str, next_step: str = "") -> VerificationError:
    return VerificationError(
        f"{weight.name}: {file.path} is not the file it should be",
        why=why,
        next_step=next_step or f"Fetch it again: inscene weights pull {weight.name}",
    )
