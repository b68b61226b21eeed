"""Datasets on the Hugging Face Hub, read where they are: ``hf://datasets/ORG/NAME[@REVISION]``.

A branch is resolved to its commit when the dataset is opened, and everything after that names the
commit: a run whose dataset changes meanwhile reads one version of it. Files are read by ranges.
"""

from __future__ import annotations

import contextlib
import io
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from inscene.dataset.store import Store
from inscene.errors import InsceneError, MachineError, UsageError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

SCHEME = "hf://"
WAITS_S = (1.0, 3.0, 10.0)
"""Before the hub is asked again, where it is busy. Reads of files have the client's own retries."""
BUSY = {408, 425, 429, 500, 502, 503, 504}


def is_hub(location: str) -> bool:
    return location.startswith(SCHEME)


def without_revision(location: str) -> str:
    """The address as a name: the same whatever the version."""
    if not is_hub(location):
        return location
    repo, at, rest = location.partition("@")
    # A special reference has slashes of its own: refs/convert/parquet, refs/pr/1.
    found = re.match(r"(?:refs/(?:convert|pr)/)?[^/]*", rest)
    return repo + (rest[found.end() :] if at and found else "")


@dataclass(frozen=True)
class HubAddress:
    repo: str
    """ORG/NAME"""
    revision: str | None
    path: str
    """In the repository; empty for all of it."""

    @classmethod
    def parse(cls, url: str) -> HubAddress:
        """Raises :class:`UsageError` for what names no dataset."""
        from huggingface_hub import parse_hf_uri

        try:
            parsed = parse_hf_uri(url.rstrip("/"))
        except ValueError as error:
            raise _no_address(url, f"{error}.") from error
        if parsed.type != "dataset":
            raise _no_address(url, f"It names a {parsed.type}.")
        return cls(parsed.id, parsed.revision, parsed.path_in_repo)

    def url(self, commit: str) -> str:
        return f"{SCHEME}datasets/{self.repo}@{commit}/{self.path}".rstrip("/")


def _no_address(url: str, why: str) -> UsageError:
    return UsageError(
        "is no address of a dataset on the Hub",
        where=url,
        why=why,
        next_step="Write hf://datasets/ORG/NAME, with @REVISION after it where another than main "
        "is meant.",
    )


@contextlib.contextmanager
def explained(where: str) -> Iterator[None]:
    """What the Hub's client raises, as errors that say what to do."""
    try:
        yield
    except InsceneError:
        raise
    except Exception as error:  # the client's errors have no common base
        _explain(error, where)


def _explain(error: Exception, where: str) -> NoReturn:
    import httpx2
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    cause = error.__cause__  # HfFileSystem makes FileNotFoundError of all that are missing
    kinds = tuple(one for one in (error, cause) if one is not None)

    def is_a(kind: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
        return any(isinstance(one, kind) for one in kinds)

    repo = where.removeprefix(SCHEME).partition("@")[0]
    if is_a(OfflineModeIsEnabled):
        raise MachineError(
            "the Hub is not asked, since HF_HUB_OFFLINE is set",
            where=where,
            next_step="Unset it; or name the folder of a copy, made elsewhere by: hf download "
            f"--repo-type dataset {'/'.join(repo.split('/')[1:3])}",
        ) from error
    if is_a(GatedRepoError):
        raise MachineError(
            "is gated: its owner wants to be asked",
            where=where,
            next_step=f"Ask on https://huggingface.co/{repo}, then log in here: hf auth login",
        ) from error
    if is_a(RepositoryNotFoundError):
        raise UsageError(
            "there is no such dataset on the Hub, or it is private",
            where=where,
            next_step="Is it spelt ORG/NAME? A private one needs: hf auth login",
        ) from error
    if is_a(RevisionNotFoundError):
        raise UsageError(
            "the dataset has no such revision",
            where=where,
            next_step="After @ goes a branch, a tag or a commit.",
        ) from error
    if is_a((EntryNotFoundError, FileNotFoundError)):
        raise UsageError("the dataset has no such file or folder", where=where) from error
    if isinstance(error, HfHubHTTPError):
        code = error.response.status_code
        if code in (401, 403):
            raise MachineError(
                f"the Hub refuses it ({code})",
                where=where,
                next_step="Log in with an account that may read it: hf auth login",
            ) from error
        raise _unreachable(where, f"It answers {code}") from error
    # Not any OSError: Arrow raises those for damaged files.
    if isinstance(error, (httpx2.HTTPError, ConnectionError, TimeoutError)):
        raise _unreachable(where, f"{type(error).__name__}: {error}") from error
    raise error


def _unreachable(where: str, why: str) -> MachineError:
    return MachineError(
        "the Hub cannot be read",
        where=where,
        why=f"{why}.",
        next_step="Run the same command again: what is done is not done again. HF_ENDPOINT names a "
        "mirror, HTTPS_PROXY a proxy.",
    )


@dataclass(frozen=True)
class _Entry:
    size: int
    content: str
    """Hash of the content, as the Hub states it."""


class HubStore(Store):
    """One version of a dataset, or of a folder in it. Nothing is written here: publishing does."""

    def __init__(self, url: str) -> None:
        self.address = HubAddress.parse(url)
        self.commit_id = self._resolve(url)
        self.root = self.address.url(self.commit_id)
        self._tree: dict[str, _Entry] | None = None

    def _resolve(self, url: str) -> str:
        revision = self.address.revision
        if revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision):
            return revision

        with explained(url):
            info = _asked(
                lambda: _api().dataset_info(self.address.repo, revision=revision, expand=["sha"])
            )
        assert isinstance(info.sha, str)
        return info.sha

    def _entries(self) -> dict[str, _Entry]:
        """Every file below the root: of a commit they never change."""
        if self._tree is None:
            with explained(self.root):
                self._tree = _asked(self._list_tree)
        return self._tree

    def _list_tree(self) -> dict[str, _Entry]:
        from huggingface_hub import RepoFile

        prefix = f"{self.address.path}/" if self.address.path else ""
        found = _api().list_repo_tree(
            self.address.repo,
            self.address.path or None,
            recursive=True,
            revision=self.commit_id,
            repo_type="dataset",
        )
        return {
            entry.path.removeprefix(prefix): _Entry(
                entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id
            )
            for entry in found
            if isinstance(entry, RepoFile) and entry.path.startswith(prefix)
        }

    def list(self, pattern: str) -> list[str]:
        from fsspec.utils import glob_translate

        matches = re.compile(glob_translate(pattern)).match
        return sorted(name for name in self._entries() if matches(name))

    def size(self, name: str) -> int | None:
        entry = self._entries().get(name)
        return None if entry is None else entry.size

    def state(self, name: str) -> str:
        entry = self._entries().get(name)
        return "missing" if entry is None else entry.content

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> IO[bytes]:
        return open_hub_file(self.describe(name), self.size(name))

    def staging(self, name: str) -> Path:
        raise self._read_only()

    def commit(self, staged: Path, name: str) -> None:
        raise self._read_only()

    def create(self, name: str, content: bytes) -> bool:
        raise self._read_only()

    def remove(self, name: str) -> None:
        raise self._read_only()

    def _read_only(self) -> UsageError:
        return UsageError(
            "is on the Hub, where this command cannot write",
            where=self.root,
            next_step="Write to a folder, then: inscene publish FOLDER --repo ORG/NAME",
        )


def open_hub_file(url: str, size: int | None = None) -> IO[bytes]:
    """For random access by range requests. ``url`` should name a commit."""
    from huggingface_hub import HfFileSystem, constants

    known = {} if size is None else {"size": size}
    with explained(url):
        system = HfFileSystem(endpoint=constants.ENDPOINT)
        opened = _asked(lambda: system.open(url, "rb", **known))
    return cast("IO[bytes]", HubFile(opened, url))


class HubFile(io.RawIOBase):
    """Whoever reads from it, Arrow among them, gets errors that say what to do."""

    def __init__(self, file: Any, url: str) -> None:
        self._file, self._url = file, url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def read(self, size: int | None = -1) -> bytes:
        with explained(self._url):
            return bytes(self._file.read(-1 if size is None else size))

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _api() -> HfApi:
    from huggingface_hub import HfApi, constants

    return HfApi(endpoint=constants.ENDPOINT, library_name="inscene")


def _asked(ask: Callable[[], T]) -> T:
    """The answer, asked for again where the Hub is busy."""
    from huggingface_hub.errors import HfHubHTTPError

    for wait_s in WAITS_S:
        try:
            return ask()
        except HfHubHTTPError as error:
            if error.response.status_code not in BUSY:
                raise
        time.sleep(wait_s)
    return ask()


def read_hub_image(url: str) -> bytes:
    """The whole file. Raises :class:`SampleError` for one that is no image file,
    :class:`MachineError` where the Hub cannot be read."""
    from inscene.images.rules import DEFAULT_LIMITS, ImageFault

    limit = DEFAULT_LIMITS.max_bytes
    try:
        with open_hub_file(url) as file:
            data = file.read(limit + 1)
    except UsageError as error:  # named in the data
        raise ImageFault.FILE_MISSING.error() from error
    if not data:
        raise ImageFault.EMPTY_FILE.error()
    if len(data) > limit:
        raise ImageFault.FILE_TOO_LARGE.error(f"more than {limit} bytes")
    return data
