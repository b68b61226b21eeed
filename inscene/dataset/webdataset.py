"""Images in tars, as img2dataset writes them for WebDataset: ``KEY.jpg`` with what is known of it
in ``KEY.json`` and its caption in ``KEY.txt``.

Tars are read in place. A member is a stretch of bytes, and its name only names a sample: nothing of
an archive becomes a file, and no name in it is opened.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import splitext
from typing import IO, Any
from urllib.parse import urlsplit

from inscene.dataset.store import Store
from inscene.dataset.tar import COMPRESSED, TRUNCATED, Kind, TarEntry, tar_entries
from inscene.errors import SampleError, UsageError
from inscene.images import IMAGE_SUFFIXES
from inscene.images.rules import DEFAULT_LIMITS, ImageFault

FACTS, CAPTION = ".json", ".txt"
SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4")
"""The compressed ones are listed to be refused by name, not read."""
LINK, SPECIAL, SPARSE = "archive_link", "archive_special_file", "archive_sparse"
ESCAPE, BAD_NAME = "archive_escape", "archive_bad_name"
TOO_LARGE, DUPLICATE = "archive_too_large", "archive_duplicate"
METADATA_UNUSABLE = "archive_metadata_unusable"

MAX_FACTS_BYTES = 4 * 2**20
"""Of one JSON or text file. [chosen] Most of it is EXIF, of which a JPEG has 64 KiB a segment."""
MAX_NAME, MAX_CAPTION, MAX_URL = 1024, 64 * 2**10, 8 * 2**10
"""Characters. [chosen] Far more than any that are meant."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")  # here, or on Windows
Span = tuple[int, int]
"""Start and size in the archive."""


@dataclass(frozen=True, slots=True)
class Member:
    """An image in a tar, or a member that is refused."""

    name: str
    """Relative, without "..", and different from all others of its archive."""
    start: int = 0
    size: int = 0
    facts: Span | None = None
    """Of the JSON beside it."""
    caption: Span | None = None
    """Of the text beside it."""
    refused: tuple[str, str] | None = None
    """Reason and detail."""


def tar_names(store: Store, *, nested: bool) -> list[str]:
    """In the folder itself, or where ``nested`` in those below."""
    every = "**/*" if nested else "*"
    names = {name for suffix in SUFFIXES for name in store.list(every + suffix)}
    return sorted(name for name in names if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    """As a Mac's "._NAME" beside each file is."""
    return name.startswith(".") or "/." in name


def is_tar_name(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def list_archives(store: Store, names: Sequence[str]) -> Iterator[tuple[str, list[Member]]]:
    """Each tar with its members. Raises :class:`UsageError` where all of them are compressed."""
    compressed = 0
    for number, name in enumerate(names, 1):
        members = list_members(Path(store.describe(name)))
        reasons = [member.refused[0] for member in members if member.refused]
        compressed += reasons == [COMPRESSED] and len(members) == 1
        if compressed == number == len(names):
            raise UsageError(
                "is compressed" if number == 1 else f"holds {number} tars, all compressed",
                where=store.describe(name) if number == 1 else store.root,
                why="A member of a compressed tar cannot be found without unpacking all before it.",
                next_step="Unpack the outer layer, e.g. gunzip -k NAME.tar.gz, and name the .tar.",
            )
        yield name, members


def list_members(tar: Path) -> list[Member]:
    """The images of a tar in its order, and after them every member that is refused. What is
    neither, nor an image's JSON or text, and hidden names are left out. Where the archive breaks
    off, a last one says so."""
    images: dict[str, Span] = {}
    beside: dict[str, Span] = {}
    refused: list[Member] = []
    number = 0

    def refuse(error: SampleError) -> None:
        refused.append(Member(f"member-{number:06d}", refused=(error.reason, error.detail)))

    try:
        with _open(tar) as file:
            length = os.fstat(file.fileno()).st_size
            for entry in tar_entries(file, length):
                try:
                    name = _sound_name(entry, length)
                    if name in images or name in beside:
                        raise SampleError(DUPLICATE, f"{name!r} is there twice; the first counts")
                    suffix = splitext(name)[1]
                    if entry.kind is Kind.FOLDER or _is_hidden(name):
                        pass
                    elif suffix.lower() in IMAGE_SUFFIXES:
                        images[name] = (entry.start, entry.size)
                    elif suffix in (FACTS, CAPTION):
                        beside[name] = (entry.start, entry.size)
                except SampleError as error:
                    refuse(error)
                number += 1
    except SampleError as error:
        refuse(error)
    except OSError as error:
        refuse(ImageFault.FILE_UNREADABLE.error(error.strerror or type(error).__name__))
    return [_member(name, span, beside) for name, span in images.items()] + refused


def _open(tar: Path) -> IO[bytes]:
    """Raises :class:`SampleError` for a pipe or device: to open one can wait for ever."""
    if not stat.S_ISREG(os.stat(tar).st_mode):
        raise ImageFault.SPECIAL_FILE.error()
    # The name may have become a pipe since; a non-blocking open returns even then.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    # Headers lie far apart: reading ahead would be in vain.
    return open(os.open(tar, flags), "rb", buffering=0)


def _sound_name(entry: TarEntry, length: int) -> str:
    """Raises :class:`SampleError` for a member that must not, or cannot, be a sample."""
    path = entry.name.replace("\\", "/")
    parts = path.split("/")
    shown = f"{entry.name:.200}"
    if ".." in parts or _ABSOLUTE.match(path):
        raise SampleError(ESCAPE, f"{shown!r} leads out of the archive")
    name = "/".join([part for part in parts if part not in ("", ".")])
    if entry.kind is Kind.FOLDER:
        return name
    if _CONTROL.search(name) or len(name) > MAX_NAME or parts[-1] in ("", "."):
        raise SampleError(BAD_NAME, f"{shown!r} cannot name a sample")
    if entry.kind in _REFUSED:
        reason, what = _REFUSED[entry.kind]
        raise SampleError(reason, f"{shown!r} is {what}")
    if entry.size > DEFAULT_LIMITS.max_bytes:
        limit = DEFAULT_LIMITS.max_bytes
        raise SampleError(TOO_LARGE, f"{shown!r} claims {entry.size} bytes, the limit is {limit}")
    if entry.start + entry.size > length:
        there = max(0, length - entry.start)
        raise SampleError(
            TRUNCATED, f"{shown!r} has {entry.size} bytes, of which {there} are there"
        )
    return name


_REFUSED = {
    Kind.LINK: (LINK, "a link"),
    Kind.SPARSE: (SPARSE, "a sparse file"),
    Kind.SPECIAL: (SPECIAL, "neither a file nor a folder"),
}


def _member(name: str, image: Span, beside: Mapping[str, Span]) -> Member:
    stem = splitext(name)[0]
    return Member(name, *image, beside.get(stem + FACTS), beside.get(stem + CAPTION))


def read_member(tar: str, member: Member) -> tuple[bytes, dict[str, Any]]:
    """The image's bytes, and what its JSON and text say, by the names of our columns. Raises
    :class:`SampleError`."""
    if member.refused:
        raise SampleError(*member.refused)
    if not member.size:
        raise ImageFault.EMPTY_FILE.error()
    with _opened(tar) as file:
        image = _part(file, (member.start, member.size))
        known = {}
        if member.facts is not None:
            known = _facts(_small_part(file, member.facts, FACTS))
        if "prompt" not in known and member.caption is not None:
            text = _small_part(file, member.caption, CAPTION).decode("utf-8", "replace")
            known |= _prompt(text)
    return image, known


@contextlib.contextmanager
def _opened(tar: str) -> Iterator[IO[bytes]]:
    try:
        with _open(Path(tar)) as file:
            yield file
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ImageFault.FILE_UNREADABLE.error(why) from error


def _part(file: IO[bytes], span: Span) -> bytes:
    start, size = span
    file.seek(start)
    data = bytearray()
    while len(data) < size and (more := file.read(size - len(data))):
        data += more  # one call gives 2 GiB at most, and less over some networks
    if len(data) < size:
        raise SampleError(TRUNCATED, "the archive is shorter than when it was listed")
    return bytes(data)


def _small_part(file: IO[bytes], span: Span, what: str) -> bytes:
    if span[1] > MAX_FACTS_BYTES:
        raise SampleError(METADATA_UNUSABLE, f"{span[1]} bytes of {what}")
    return _part(file, span)


def _facts(data: bytes) -> dict[str, Any]:
    """The caption and the address, and nothing else: neither EXIF nor whatever a licence is said to
    be. Without an address nobody could have an image taken down, so what is no JSON is refused."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SampleError(METADATA_UNUSABLE, f"no JSON: {error}") from error
    if not isinstance(found, dict):
        raise SampleError(METADATA_UNUSABLE, f"JSON of a {type(found).__name__}, not an object")
    return _prompt(found.get("caption")) | _address(found.get("url"))


def _prompt(value: Any) -> dict[str, str]:
    text = _sound_text(value).strip()[:MAX_CAPTION]
    return {"prompt": text} if text else {}


def _address(value: Any) -> dict[str, str]:
    """Web addresses only: pages make links of them."""
    text = _sound_text(value).strip()
    try:
        good = urlsplit(text).scheme in ("http", "https") and len(text) <= MAX_URL
    except ValueError:
        good = False
    return {"source_url": text} if good and not re.search(r"[\s<>\"]", text) else {}


def _sound_text(value: Any) -> str:
    """Valid Unicode (JSON may have halves of characters), of which NULs are no part."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "")
