"""Whether a file is what the manifest, or its pin, says."""

from __future__ import annotations

import enum
import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from inscene.errors import VerificationError
from inscene.weights.folder import path_of
from inscene.weights.manifest import File, Weight
from inscene.weights.pins import Pin, read_pins, write_pin

CHUNK_BYTES = 4 * 2**20
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
    if file.bytes is not None and facts.st_size != file.bytes:
        return State.CHANGED
    pin = pins.get(key_of(weight, file))
    if pin is None or pin.modified_ns != facts.st_mtime_ns:
        return State.UNVERIFIED
    return State.HERE if pin.bytes == facts.st_size and file.fits(pin.sha256) else State.CHANGED


def sha256_of(path: Path, advance: Advance = lambda count: None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def check(
    weight: Weight,
    file: File,
    path: Path,
    *,
    stated_sha256: str | None = None,
    advance: Advance = lambda count: None,
) -> tuple[str, str]:
    """The SHA-256 of a file that may become, or is, the weight's; and what vouches for it
    (``manifest``, ``hub``, ``pin`` or nothing but its size: ``first download``).

    ``stated_sha256`` is what the hub says. Raises ``VerificationError``: it names the difference.
    """
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        raise _mismatch(weight, file, f"It has {size:,} bytes; the manifest says {file.bytes:,}.")
    sha256 = sha256_of(path, advance)
    if not file.fits(sha256):
        wanted = file.sha256 or f"{file.sha256_prefix}…"
        raise _mismatch(weight, file, f"Its SHA-256 is {sha256}; the manifest says {wanted}.")
    if stated_sha256 is not None and sha256 != stated_sha256:
        raise _mismatch(weight, file, f"Its SHA-256 is {sha256}; the hub says {stated_sha256}.")
    pin = read_pins().get(key_of(weight, file))
    if pin is not None and pin.sha256 != sha256 and not file.hash_is_known:
        raise _mismatch(
            weight,
            file,
            f"Its SHA-256 is {sha256}; at its first download it was {pin.sha256}.",
            next_step=f"Fetch it again: inscene weights pull {weight.name}. If its publisher has "
            "replaced it, and you trust that, delete its entry in pins.json before "
            "('inscene weights where').",
        )
    if file.hash_is_known or file.sha256_prefix:
        return sha256, "manifest"
    if stated_sha256 is not None:
        return sha256, "hub"
    return sha256, "pin" if pin is not None else "first download"


def pin(weight: Weight, file: File, sha256: str, verified_by: str, origin: str) -> None:
    """Remember that the file in its place was found to be this one."""
    facts = path_of(weight, file).stat()
    previous = read_pins().get(key_of(weight, file))
    if previous is not None and previous.sha256 == sha256:
        verified_by, origin = previous.verified_by, previous.origin
    new = Pin(sha256, facts.st_size, facts.st_mtime_ns, verified_by, origin)
    try:
        write_pin(key_of(weight, file), new)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        # A folder that others keep: the file is hashed in each process.


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
