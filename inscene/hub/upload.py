"""Bringing files into a repository: what is missing is sent, then one commit makes it appear.

The contents of large files are sent first, each when its turn comes, and stay there when this
process dies: the next one does not send them again. Readers see all of a version or nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inscene.errors import BusyError, UsageError, VerificationError
from inscene.hub import client
from inscene.hub.client import asked, explain, is_passing, pause, status_of
from inscene.hub.package import Wanted
from inscene.hub.remote import KIND, RemoteFile, files_at, head, where

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

AT_ONCE = 5
"""Files that are sent side by side."""
MAX_FILES = 25_000
"""Large files that the Hub takes in one commit."""

Sent = Callable[[int], None]
"""Told of bytes that have arrived."""


@dataclass(frozen=True)
class Change:
    """What makes a repository's files those that are wanted."""

    add: Mapping[str, Wanted]
    delete: tuple[str, ...]
    unchanged: int

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.add.values())


def change(
    there: Mapping[str, RemoteFile], wanted: Mapping[str, Wanted], obsolete: set[str]
) -> Change:
    """``obsolete`` are paths that go where they are not wanted."""
    same = {path for path, one in wanted.items() if path in there and there[path].is_(one)}
    add = {path: one for path, one in sorted(wanted.items()) if path not in same}
    gone = sorted((obsolete & there.keys()) - wanted.keys())
    return Change(add, tuple(gone), len(same))


def send(api: HfApi, repo: str, what: Change, parent: str, title: str, sent: Sent) -> str:
    """Send what is missing and commit on top of ``parent``; the new commit.

    Raises :class:`BusyError` where somebody else has committed meanwhile: nothing of it is undone.
    """
    from huggingface_hub import CommitOperationDelete

    if len(what.add) > MAX_FILES:
        raise UsageError(
            f"{len(what.add)} files are more than the Hub takes in a commit", where=repo,
            next_step="Make larger files: --file-mb",
        )  # fmt: skip
    additions = list(_preloaded(api, repo, what.add, sent))
    deletions = [CommitOperationDelete(path, is_folder=False) for path in what.delete]

    def commit() -> str:
        done = api.create_commit(
            repo, [*deletions, *additions], commit_message=title, repo_type=KIND,
            parent_commit=parent,
        )  # fmt: skip
        return str(done.oid)

    return _committed(api, repo, what, parent, commit)


def _preloaded(
    api: HfApi, repo: str, add: Mapping[str, Wanted], sent: Sent
) -> Iterator[CommitOperationAdd]:
    from huggingface_hub import CommitOperationAdd

    items = list(add.items())
    for start in range(0, len(items), AT_ONCE):
        some = items[start : start + AT_ONCE]
        operations: list[CommitOperationAdd] = []
        for path, one in some:
            source = one.source if isinstance(one.source, bytes) else str(one.source)
            operations.append(CommitOperationAdd(path, source))
            if operations[-1].upload_info.sha256.hex() != one.sha256:
                raise VerificationError(
                    "was changed since it was staged", where=str(one.source),
                    next_step="Run the same command again.",
                )  # fmt: skip
        asked(
            where(repo),
            lambda ready=operations: api.preupload_lfs_files(  # type: ignore[misc]
                repo, ready, repo_type=KIND, num_threads=AT_ONCE, free_memory=False
            ),
        )
        sent(sum(one.bytes for _, one in some))
        yield from operations


def _committed(api: HfApi, repo: str, what: Change, parent: str, commit: Callable[[], str]) -> str:
    """A commit whose answer was lost may have been made: that is looked up before it is asked for
    again."""
    for wait_s in (*client.WAITS_S, None):
        try:
            return commit()
        except Exception as error:
            stale = status_of(error) == 412
            if not stale and not is_passing(error):
                explain(error, where(repo))
            if wait_s is not None and not stale:
                time.sleep(pause(error, wait_s))
            now = head(api, repo)
            if now != parent:
                files = asked(where(repo), lambda at=now: files_at(api, repo, at))  # type: ignore[misc]
                if not change(files, what.add, set(what.delete)):
                    return now
                raise BusyError(
                    "somebody else has changed the repository meanwhile", where=where(repo),
                    why=f"It is at {now[:12]}, this began at {parent[:12]}.",
                    next_step="See what it was. The same command again makes it what is here.",
                ) from None  # fmt: skip
            if wait_s is None or stale:
                explain(error, where(repo))
    raise AssertionError
