"""One repository: its files, every commit that it had, tags and settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

LFS_FROM_BYTES = 512
"""Files of this size are as the hub has large ones: with their SHA-256 as ETag."""
LFS_SUFFIXES = (".parquet", ".safetensors")
"""In repositories that were made by the API, those of these names are, whatever their size."""


def etag(content: bytes) -> str:
    return _sha256(content) if len(content) >= LFS_FROM_BYTES else git_oid(content)


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Repo:
    files: dict[str, bytes]
    """Of the branch main."""
    gated: bool | str = False
    private: bool = False
    made_by_api: bool = False
    history: list[tuple[str, str, dict[str, bytes]]] = field(default_factory=list)
    """Of the API's commits: id, title, the files after it; the oldest first."""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        content = [(path, git_oid(data)) for path, data in sorted(self.files.items())]
        known = [oid for oid, _, _ in self.history]
        return hashlib.sha1(repr((content, known[:-1])).encode()).hexdigest()

    def titles(self) -> list[str]:
        return [title for _, title, _ in self.history]

    def add_commit(self, title: str, files: dict[str, bytes]) -> str:
        if not self.history:
            self.history.append((self.commit, "before", dict(self.files)))
        self.files = files
        return self.put_commit(title)

    def put_commit(self, title: str) -> str:
        """The files of now as a further commit."""
        self.history.append(("", title, dict(self.files)))
        self.history[-1] = (self.commit, title, dict(self.files))
        return self.history[-1][0]

    def commit_of(self, revision: str) -> str | None:
        """The id behind a branch, a tag or an id."""
        if revision in ("main", "refs/heads/main"):
            return self.commit
        revision = self.tags.get(revision.removeprefix("refs/tags/"), revision)
        known = {self.commit, *(oid for oid, _, _ in self.history)}
        return revision if revision in known else None

    def at(self, commit: str) -> dict[str, bytes]:
        if commit == self.commit:
            return self.files
        return next(files for oid, _, files in self.history if oid == commit)

    def is_lfs(self, path: str, content: bytes) -> bool:
        if self.made_by_api:
            return path.endswith(LFS_SUFFIXES)
        return len(content) >= LFS_FROM_BYTES

    def etag(self, path: str, content: bytes) -> str:
        return _sha256(content) if self.is_lfs(path, content) else git_oid(content)

    def entry(self, path: str, content: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(content)}
        entry["oid"] = self.etag(path, content)
        if self.is_lfs(path, content):
            entry["lfs"] = {"oid": _sha256(content), "size": len(content), "pointerSize": 130}
        return entry
