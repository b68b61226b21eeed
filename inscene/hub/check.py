"""Reads a commit back: is what is there what was sent?"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inscene.hub.client import asked
from inscene.hub.package import Wanted
from inscene.hub.remote import KIND, files_at, where

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_READ = ("data/", "metadata/")
"""Folders whose Parquet files a reader takes, whoever put them there."""


def problems_at(api: HfApi, repo: str, commit: str, wanted: Mapping[str, Wanted]) -> list[str]:
    """What a commit's listing says against it: sizes and hashes of every file, and files that a
    reader would take for rows of the dataset."""
    there = asked(where(repo), lambda: files_at(api, repo, commit))
    problems = []
    for path, one in wanted.items():
        if path not in there:
            problems.append(f"{path}: is not there")
        elif not there[path].is_(one):
            problems.append(f"{path}: has other content than what was sent")
    return problems + [f"{path}: is not of this dataset" for path in strangers(there, wanted)]


def strangers(there: Mapping[str, object], wanted: Mapping[str, object]) -> list[str]:
    """Files that would be read as rows, and are none of these."""
    return sorted(path for path in there if path.startswith(_READ) and path not in wanted)


def read_back(
    api: HfApi, repo: str, commit: str, paths: Sequence[str], wanted: Mapping[str, Wanted]
) -> list[str]:
    """Fetch files as a reader would, and compare; one at a time, nothing of them stays."""
    problems = []
    with tempfile.TemporaryDirectory(prefix="inscene-read-back-") as folder:
        for path in paths:
            found = Path(fetch(api, repo, path, commit, folder))
            with found.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != wanted[path].sha256:
                    problems.append(f"{path}: comes back with other content")
            found.unlink()
    return problems


def fetch(api: HfApi, repo: str, path: str, commit: str, folder: str) -> str:
    return asked(
        where(repo),
        lambda: api.hf_hub_download(repo, path, revision=commit, repo_type=KIND, local_dir=folder),
    )
