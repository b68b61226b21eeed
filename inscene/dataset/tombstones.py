"""What a dataset has forgotten, as hashes: enough to refuse it again, too little to show it.

``run/forgotten.json`` of a dataset (``tombstones.json`` once it is published) is a list of
``{sample_id_sha256, image_sha256, when, reason}``. A sample may have several: one a name, one an
image. In the plan and the drops table its id gives way to a mask, which holds the id's hash.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from inscene.dataset.store import Store, is_url, open_store
from inscene.errors import UsageError, VerificationError
from inscene.images import IMAGE_SUFFIXES

FORGOTTEN = "run/forgotten.json"
PUBLISHED = "tombstones.json"
UNFINISHED = "run/forgetting.json"
"""There while a forget is under way, and after it was killed."""

STEP, REASON = "forget", "forgotten"
"""What a drop of a forgotten sample says."""

_HEX = re.compile(r"[0-9a-f]{64}")
_MASK = re.compile(r"forgotten:[0-9a-f]{64}")
_VERSION = re.compile(r"@\d+$")


@dataclass(frozen=True)
class Tombstone:
    sample_id_sha256: str | None
    image_sha256: str | None = None
    """Of the source file's bytes, or of the stored image's: either brings the sample back."""
    when: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Tombstones:
    """All of a dataset, or of several."""

    entries: tuple[Tombstone, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entries)

    def covers(self, sample_id: str | None, image_sha256: str | None = None) -> bool:
        """Whether the sample is forgotten: its id, with or without ``@VERSION``, or its image."""
        if sample_id is not None and (is_mask(sample_id) or self._covers_id(sample_id)):
            return True
        return image_sha256 is not None and image_sha256 in self._images

    def _covers_id(self, sample_id: str) -> bool:
        if not self._ids:
            return False
        return hash_id(sample_id) in self._ids or hash_id(without_version(sample_id)) in self._ids

    @functools.cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(e.sample_id_sha256 for e in self.entries if e.sample_id_sha256)

    @functools.cached_property
    def _images(self) -> frozenset[str]:
        return frozenset(e.image_sha256 for e in self.entries if e.image_sha256)

    def with_more(self, more: Iterable[Tombstone]) -> Tombstones:
        """Those too that are not among them; of equal ones the first keeps its time and reason."""
        known = {(e.sample_id_sha256, e.image_sha256): e for e in self.entries}
        for entry in more:
            known.setdefault((entry.sample_id_sha256, entry.image_sha256), entry)
        return self if len(known) == len(self.entries) else Tombstones(tuple(known.values()))

    def to_json(self) -> bytes:
        return (json.dumps([asdict(entry) for entry in self.entries], indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Tombstones:
        """Raises :class:`ValueError` for anything else."""
        entries = json.loads(content)
        if not isinstance(entries, list):
            raise ValueError("it is no list")
        return cls(tuple(_entry(one) for one in entries))


NONE = Tombstones()


def _entry(value: Any) -> Tombstone:
    """Further keys are left alone; time and reason may be missing."""
    if not isinstance(value, dict):
        raise ValueError("an entry is no object")
    entry = Tombstone(
        value.get("sample_id_sha256"),
        value.get("image_sha256"),
        value.get("when") or "",
        value.get("reason") or "",
    )
    hashes = [entry.sample_id_sha256, entry.image_sha256]
    if not any(hashes):
        raise ValueError("an entry has no hash")
    for one in hashes:
        if one is not None and not (isinstance(one, str) and _HEX.fullmatch(one)):
            raise ValueError(f"{one!r} is no SHA-256")
    if not (isinstance(entry.when, str) and isinstance(entry.reason, str)):
        raise ValueError("when and reason are words")
    return entry


def hash_id(sample_id: str) -> str:
    return hashlib.sha256(sample_id.encode()).hexdigest()


def without_version(sample_id: str) -> str:
    return _VERSION.sub("", sample_id)


def mask(sample_id: str) -> str:
    """What stands in an id's place; a mask stays as it is."""
    return sample_id if is_mask(sample_id) else f"forgotten:{hash_id(sample_id)}"


def is_mask(sample_id: str) -> bool:
    return _MASK.fullmatch(sample_id) is not None


def read_tombstones(store: Store) -> Tombstones:
    """Of a dataset folder or its published copy; none where nothing was forgotten. Raises
    :class:`VerificationError` for a damaged list: then nobody knows what to refuse."""
    found = Tombstones()
    for name in (FORGOTTEN, PUBLISHED):
        if store.size(name) is not None:
            found = found.with_more(_parsed(store, name).entries)
    return found


def _parsed(store: Store, name: str) -> Tombstones:
    try:
        return Tombstones.from_json(store.read(name))
    except ValueError as error:
        raise VerificationError(
            "is damaged: what was forgotten cannot be told",
            where=store.describe(name),
            why=f"{error}.",
            next_step="Restore the file, or forget the samples again after deleting it.",
        ) from error


def tombstones_at(location: str) -> Tombstones:
    """Of a dataset, its published copy, or a file of tombstones. Raises :class:`UsageError` where
    there are none."""
    if location.endswith(".json"):
        place = location if is_url(location) else os.path.abspath(location)
        folder, _, name = place.rpartition("/")
        store = open_store(folder or "/")
        if store.size(name) is None:
            raise UsageError("there is no such file", where=location)
        return _parsed(store, name)
    found = read_tombstones(open_store(location))
    if not found:
        raise UsageError(
            "has forgotten nothing",
            where=location,
            why=f"It has neither {FORGOTTEN} nor {PUBLISHED}.",
        )
    return found


def tombstones_of_source(source: str) -> Tombstones:
    """Of what a run reads, where it has any: a folder, or the one that a Parquet file is in."""
    place = source if is_url(source) else os.path.abspath(source)
    if place.endswith(".parquet"):
        place = place.rpartition("/")[0].removesuffix("/data")
    elif is_url(place) and PurePosixPath(place).suffix.lower() in IMAGE_SUFFIXES:
        return Tombstones()
    return read_tombstones(open_store(place))


def dated(entries: Iterable[Tombstone], when: str, reason: str) -> list[Tombstone]:
    return [replace(entry, when=when, reason=reason) for entry in entries]
