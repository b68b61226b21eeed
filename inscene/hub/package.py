"""What a publish sends: staged files, small files made from the data, and the card."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT, METADATA = "default", "metadata"
"""The configurations of a published dataset: with the images, and without them for browsing."""

CARD = "README.md"


@dataclass(frozen=True)
class StagedFile:
    """A file on this machine, and where in the repository it goes."""

    path: str
    local: Path
    bytes: int
    sha256: str
    rows: int
    split: str
    config: str = DEFAULT


@dataclass(frozen=True)
class Staged:
    """The files of a dataset as they are sent."""

    folder: Path
    kind: str
    """scenes, pairs, …"""
    files: tuple[StagedFile, ...]
    forgotten_rows: int = 0
    """Rows that tombstones cover and that were left out."""

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files if file.config == DEFAULT)

    def splits(self, config: str = DEFAULT) -> dict[str, int]:
        """Rows by split; empty where there is no such configuration."""
        rows: Counter[str] = Counter()
        for file in self.files:
            if file.config == config:
                rows[file.split] += file.rows
        return dict(rows)


@dataclass(frozen=True)
class Package:
    """All that goes into a repository."""

    staged: Staged
    card: bytes
    texts: dict[str, bytes] = field(default_factory=dict)
    """Small files beside the card, sent with the data: path in the repository, content."""
    content: str = ""
    """Hash of the rows: names the version."""
    real_people: bool = True
    """Photographs of people, rather than generated scenes: access is asked for by default."""
    has_forgotten: bool = False
    """Whether samples were taken back, which older versions may still have."""


Content = Path | bytes


@dataclass(frozen=True)
class Wanted:
    """What a path in the repository must hold."""

    bytes: int
    sha256: str
    source: Content

    def git_oid(self) -> str:
        """As git names the content of a small file."""
        digest = hashlib.sha1(b"blob %d\0" % self.bytes)
        if isinstance(self.source, Path):
            with self.source.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        else:
            digest.update(self.source)
        return digest.hexdigest()


def wanted_text(content: bytes) -> Wanted:
    return Wanted(len(content), hashlib.sha256(content).hexdigest(), content)


def wanted_file(file: StagedFile) -> Wanted:
    return Wanted(file.bytes, file.sha256, file.local)
