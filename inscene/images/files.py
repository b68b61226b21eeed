"""Paths and URLs to bytes, and folders to lists of image files."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator, Set
from pathlib import Path

from inscene.errors import MachineError, SampleError, UsageError
from inscene.images.rules import DEFAULT_LIMITS, ImageFault, Limits

# HEIC and HEIF are listed although nothing here reads them: a phone's folder must not look empty.
IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".tif", ".tiff"),
        *(".bmp", ".dib", ".gif", ".avif", ".heic", ".heif", ".hif"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
    )
)


def read_bytes(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The content of a local file or of an fsspec URL ("s3://…", "memory://…", "file://…").

    Never waits on a pipe or device, never reads more than ``limits.max_bytes``, never returns
    nothing. Raises :class:`SampleError` with an :class:`ImageFault` reason; :class:`MachineError`
    where the URL's scheme needs a package that is not installed.
    """
    name = os.fspath(path)
    if name.startswith("file://"):
        name = name.removeprefix("file://")
    elif "://" in name:
        return _checked(_read_url(name, limits), limits)
    try:
        return _checked(_read_local(name, limits), limits)
    except OSError as error:
        raise _file_error(name, error) from error
    except ValueError as error:  # a NUL in the name
        raise ImageFault.FILE_UNREADABLE.error(str(error)) from error


def _checked(data: bytes, limits: Limits) -> bytes:
    if not data:
        raise ImageFault.EMPTY_FILE.error()
    if len(data) > limits.max_bytes:
        raise ImageFault.FILE_TOO_LARGE.error(f"more than {limits.max_bytes} bytes")
    return data


def _read_local(name: str, limits: Limits) -> bytes:
    _refuse_unless_regular(os.stat(name))  # before opening: to open a device can already act on it
    # The name may have become a pipe since; a non-blocking open returns even then.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(name, flags), "rb") as file:
        _refuse_unless_regular(os.fstat(file.fileno()))
        return file.read(limits.max_bytes + 1)


def _refuse_unless_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageFault.IS_A_DIRECTORY.error()
    if not stat.S_ISREG(status.st_mode):
        raise ImageFault.SPECIAL_FILE.error()


def _file_error(name: str, error: OSError) -> SampleError:
    if error.errno in (errno.ENOENT, errno.ELOOP) and os.path.islink(name):
        target = os.fsencode(os.readlink(name)).decode("utf-8", "backslashreplace")
        return ImageFault.BROKEN_SYMLINK.error(f"it points to {target!r}")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ImageFault.FILE_MISSING.error()
    if error.errno in (errno.EACCES, errno.EPERM):
        return ImageFault.PERMISSION_DENIED.error()
    return ImageFault.FILE_UNREADABLE.error(error.strerror or type(error).__name__)


def _read_url(url: str, limits: Limits) -> bytes:
    import fsspec

    try:
        with fsspec.open(url, "rb") as file:
            data: bytes = file.read(limits.max_bytes + 1)
            return data
    except ImportError as error:
        scheme = url.split("://")[0]
        raise MachineError(
            f"reading {scheme}:// needs a package that is not installed",
            why=str(error),
            next_step="Install it, or copy the files to this machine.",
        ) from error
    except FileNotFoundError as error:
        raise ImageFault.FILE_MISSING.error() from error
    except IsADirectoryError as error:
        raise ImageFault.IS_A_DIRECTORY.error() from error
    except PermissionError as error:
        raise ImageFault.PERMISSION_DENIED.error() from error
    except MemoryError:
        raise
    except Exception as error:  # every backend has exceptions of its own
        raise ImageFault.FILE_UNREADABLE.error(f"{type(error).__name__}: {error}") from error


def iter_image_files(
    folder: str | os.PathLike[str], suffixes: Set[str] = IMAGE_SUFFIXES
) -> Iterator[Path]:
    """Everything under ``folder`` that is named like an image, in one fixed order.

    Names decide, not contents: folders called ``x.png``, broken links and pipes are listed too, so
    that reading reports them instead of nobody. Folders that may not be listed are yielded for the
    same reason. Hidden names are skipped. Links to folders are followed, each real folder once, and
    after all folders reachable without links, so that a file keeps its shortest real name. The
    order is that of the names' bytes, the same under every locale. Raises :class:`UsageError` where
    ``folder`` itself cannot be listed.
    """
    root = Path(folder)
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    real, linked = deque([root]), deque[Path]()
    while real or linked:
        here = real.popleft() if real else linked.popleft()
        try:
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(here) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            if here == root:
                raise UsageError(
                    "cannot list this folder", where=str(root), why=error.strerror or str(error)
                ) from error
            found.append(here)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if os.path.splitext(entry.name)[1].lower() in suffixes:
                found.append(here / entry.name)
            if _is_directory(entry):
                (linked if entry.is_symlink() else real).append(here / entry.name)
    yield from sorted(set(found), key=lambda path: tuple(map(os.fsencode, path.parts)))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in circles
        return False
