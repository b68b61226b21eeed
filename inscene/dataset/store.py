"""Where a dataset lives: a local folder or any fsspec URL, with the few writes that a ledger needs.

Two promises carry everything above: a name appears with all of its bytes or not at all, and of two
writers that create the same name exactly one succeeds.
"""

from __future__ import annotations

import abc
import contextlib
import errno
import glob
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from inscene.errors import MachineError, UsageError

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def disk_errors_explained(where: str) -> Iterator[None]:
    """A full disk ends the run with its own message; the folder stays resumable."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise MachineError(
                "the disk is full",
                where=where,
                why="Finished shards are safe, the one being written was discarded.",
                next_step="Free some space and run the same command again: it resumes.",
            ) from error
        if isinstance(error, FileExistsError):
            raise  # what create() is for
        raise MachineError(
            "cannot be written",
            where=where,
            why=f"{error.strerror or error}.",
            next_step="Choose another --out, or mend its permissions.",
        ) from error


def is_url(location: str) -> bool:
    return "://" in location


def readable_name(name: str) -> str:
    """A file name as valid Unicode: bytes that are none are written as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def open_store(location: str | os.PathLike[str]) -> Store:
    text = os.fspath(location)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    if text.startswith("hf://"):
        from inscene.dataset.hub_source import HubStore

        return HubStore(text)
    return UrlStore(text) if is_url(text) else LocalStore(Path(text))


class Store(abc.ABC):
    """Names are relative POSIX paths."""

    root: str

    @abc.abstractmethod
    def list(self, pattern: str) -> list[str]:
        """Names that match a glob pattern, sorted; temporary files are never among them."""

    @abc.abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes, or None where there is no such name."""

    def state(self, name: str) -> str:
        """Changes when the content does, as far as the store can tell cheaply."""
        return str(self.size(name))

    @abc.abstractmethod
    def read(self, name: str) -> bytes: ...

    @abc.abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """For random access, to be closed by the caller."""

    def sha256(self, name: str) -> str:
        """Hex digest of the content."""
        with self.open(name) as file:
            # typeshed wants a BinaryIO; any readable binary file will do.
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    @abc.abstractmethod
    def staging(self, name: str) -> Path:
        """A local path to write the future content of ``name`` to; then :meth:`commit` it."""

    @abc.abstractmethod
    def commit(self, staged: Path, name: str) -> None:
        """Make the staged file appear under its name, whole and durable."""

    @abc.abstractmethod
    def create(self, name: str, content: bytes) -> bool:
        """Create the name with this content; False where it already exists (nothing is changed)."""

    @abc.abstractmethod
    def remove(self, name: str) -> None:
        """Remove the name, if it is there."""

    def replace(self, name: str, content: bytes) -> None:
        """Write the name whole, over whatever it held."""
        staged = self.staging(name)
        try:
            with disk_errors_explained(self.describe(name)):
                staged.write_bytes(content)
            self.commit(staged, name)
        finally:
            staged.unlink(missing_ok=True)

    def describe(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"


class LocalStore(Store):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = str(folder)

    def list(self, pattern: str) -> list[str]:
        return sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.glob(pattern)
            if path.is_file() and ".tmp-" not in path.name
        )

    def size(self, name: str) -> int | None:
        try:
            return (self.folder / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def state(self, name: str) -> str:
        status = (self.folder / name).stat()
        return f"{status.st_size}-{status.st_mtime_ns}"

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def open(self, name: str) -> IO[bytes]:
        return (self.folder / name).open("rb")

    def staging(self, name: str) -> Path:
        final = self.folder / name
        with disk_errors_explained(str(final.parent)):
            final.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that the rename cannot cross a file system; the random part keeps
        # two writers apart even where process ids repeat (containers).
        return final.with_name(f".{final.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")

    def commit(self, staged: Path, name: str) -> None:
        final = self.folder / name
        with disk_errors_explained(str(final)):
            _flush_to_disk(staged)
            os.replace(staged, final)
            _flush_to_disk(final.parent)

    def create(self, name: str, content: bytes) -> bool:
        final = self.folder / name
        staged = self.staging(name)
        with disk_errors_explained(str(final)):
            try:
                staged.write_bytes(content)
                _flush_to_disk(staged)
                os.link(staged, final)  # unlike a rename, fails where the name exists
                _flush_to_disk(final.parent)
            except FileExistsError:
                return False
            finally:
                staged.unlink(missing_ok=True)
        return True

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def sweep_staging(self) -> None:
        """Remove what killed writers left behind. Only for the holder of the lock."""
        for path in self.folder.glob("**/.*.tmp-*"):
            path.unlink(missing_ok=True)


class UrlStore(Store):
    """An object store: a PUT is atomic there, and ``mode="create"`` refuses existing names."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.root = url.rstrip("/")
        try:
            self._fs, self._base = fsspec.core.url_to_fs(self.root)
        except ImportError as error:
            raise MachineError(
                "needs a package that is not installed", where=url, next_step=f"{error}."
            ) from error
        except ValueError as error:
            raise UsageError("is no URL that can be opened", where=url, why=f"{error}.") from error

    def _path(self, name: str) -> str:
        return f"{self._base.rstrip('/')}/{name}"

    def list(self, pattern: str) -> list[str]:
        prefix = self._base.rstrip("/") + "/"
        self._fs.invalidate_cache()
        found = cast("list[str]", self._fs.glob(glob.escape(prefix) + pattern))
        return sorted(path.removeprefix(prefix) for path in found)

    def size(self, name: str) -> int | None:
        try:
            return int(self._fs.info(self._path(name))["size"])
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, name: str) -> bytes:
        return cast("bytes", self._fs.cat_file(self._path(name)))

    def open(self, name: str) -> IO[bytes]:
        return cast("IO[bytes]", self._fs.open(self._path(name), "rb"))

    def staging(self, name: str) -> Path:
        import tempfile

        handle, path = tempfile.mkstemp(prefix="inscene-", suffix=f"-{Path(name).name}")
        os.close(handle)
        return Path(path)

    def commit(self, staged: Path, name: str) -> None:
        path = self._path(name)
        self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        self._fs.put_file(str(staged), path)
        staged.unlink(missing_ok=True)

    def create(self, name: str, content: bytes) -> bool:
        path = self._path(name)
        self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        try:
            self._fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))


def open_url(url: str) -> IO[bytes]:
    """For random access, to be closed by the caller."""
    if url.startswith("hf://"):
        from inscene.dataset.hub_source import open_hub_file

        return open_hub_file(url)
    import fsspec

    return cast("IO[bytes]", fsspec.open(url, "rb").open())


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
