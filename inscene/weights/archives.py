"""ZIP archives of models. insightface's lie flat in one pack and in a folder in another."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from inscene.errors import VerificationError

RATIO_MAX = 100
"""Of unpacked to packed bytes, for members above :data:`SMALL_BYTES`."""
SMALL_BYTES = 10**7
UNPACKED_BYTES_MAX = 4 * 10**9


def unpack(archive: Path, wanted: Sequence[str], folder: Path) -> dict[str, Path]:
    """Write each wanted file as ``folder/path.part``, wherever in the archive its base name lies;
    returns those paths by wanted path. Nothing else of the archive is written.

    Raises ``VerificationError`` for an archive that is damaged, lacks one, has one twice, or is
    hostile: members that would land outside, links, or far more bytes than their compressed size
    explains.
    """
    try:
        with zipfile.ZipFile(archive) as pack:
            members = pack.infolist()
            for member in members:
                _must_be_harmless(archive, member)
            found = {path: _member(archive, members, path) for path in wanted}
            unpacked = {}
            for path, member in found.items():
                target = folder / f"{path}.part"
                target.parent.mkdir(parents=True, exist_ok=True)
                with pack.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 2**20)
                unpacked[path] = target
            return unpacked
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        for path in wanted:
            (folder / f"{path}.part").unlink(missing_ok=True)
        raise VerificationError(
            "is not a sound ZIP", where=archive.name, why=f"{error}."
        ) from error


def _must_be_harmless(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    path = PurePosixPath(name.replace("\\", "/"))
    problem = ""
    if path.is_absolute() or ".." in path.parts or ":" in name:
        problem = "would be written outside its folder"
    elif stat.S_ISLNK(member.external_attr >> 16):
        problem = "is a link"
    elif member.file_size > UNPACKED_BYTES_MAX or (
        member.file_size > max(SMALL_BYTES, RATIO_MAX * member.compress_size)
    ):
        problem = f"would unpack to {member.file_size:,} bytes"
    if problem:
        raise VerificationError(f"refused: its member {name!r} {problem}", where=archive.name)


def _member(archive: Path, members: list[zipfile.ZipInfo], path: str) -> zipfile.ZipInfo:
    name = PurePosixPath(path).name
    matching = [
        member
        for member in members
        if not member.is_dir()
        and PurePosixPath(member.filename).name == name
        and not member.filename.startswith("__MACOSX/")
    ]
    if len(matching) != 1:
        count = "no" if not matching else str(len(matching))
        raise VerificationError(f"has {count} files named {name!r}", where=archive.name)
    return matching[0]
