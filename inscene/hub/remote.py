"""A dataset repository as it is now: its commit, its files and their hashes, its tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inscene.hub.client import asked, status_of
from inscene.hub.package import Wanted

if TYPE_CHECKING:
    from huggingface_hub import HfApi

KIND = "dataset"


@dataclass(frozen=True)
class RemoteFile:
    bytes: int
    sha256: str | None
    """Of large files."""
    git_oid: str

    def is_(self, wanted: Wanted) -> bool:
        if self.bytes != wanted.bytes:
            return False
        if self.sha256 is not None:
            return self.sha256 == wanted.sha256
        return self.git_oid == wanted.git_oid()


@dataclass(frozen=True)
class Remote:
    commit: str
    files: dict[str, RemoteFile]
    private: bool
    gated: bool
    tags: dict[str, str]


def where(repo: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/datasets/{repo}"


def look(api: HfApi, repo: str) -> Remote | None:
    """None where there is no such repository, or none that this user may see."""

    def ask() -> Remote | None:
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        try:
            info = api.dataset_info(repo)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError as error:
            if status_of(error) == 401:
                raise
            return None
        assert info.sha is not None
        refs = api.list_repo_refs(repo, repo_type=KIND)
        tags = {tag.name: tag.target_commit for tag in refs.tags}
        files = files_at(api, repo, info.sha)
        return Remote(info.sha, files, bool(info.private), bool(info.gated), tags)

    return asked(where(repo), ask)


def head(api: HfApi, repo: str) -> str:
    """The commit that main is at."""
    found = asked(where(repo), lambda: api.dataset_info(repo, expand=["sha"]).sha)
    assert found is not None
    return str(found)


def files_at(api: HfApi, repo: str, commit: str) -> dict[str, RemoteFile]:
    from huggingface_hub import RepoFile

    found = api.list_repo_tree(repo, recursive=True, revision=commit, repo_type=KIND)
    return {
        entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
        for entry in found
        if isinstance(entry, RepoFile)
    }
