"""Cuts a run's inputs into shards, before anything runs and without any model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from inscene.dataset.shards import Shard
from inscene.dataset.sources import Input
from inscene.errors import UsageError

_SPLIT = re.compile(r"\w+(\.\w+)*")  # as the Hub's libraries have it


def plan_shards(
    inputs: Sequence[Input], *, recipe_hash: str, default_split: str, shard_rows: int
) -> list[tuple[Shard, tuple[Input, ...]]]:
    """Shards of at most ``shard_rows`` inputs of one split, in the order of the ids.

    They depend on the ids and the recipe alone, never on the order of a listing or on workers.
    """
    by_split: dict[str, list[Input]] = {}
    for entry in sorted(inputs, key=lambda entry: entry.id):
        by_split.setdefault(entry.split or default_split, []).append(entry)
    for split in by_split:
        if not _SPLIT.fullmatch(split):  # it becomes part of file names
            raise UsageError(
                f"{split!r} cannot name a split", next_step="Use letters, digits, '_' and '.'."
            )
    planned = []
    for split, members in sorted(by_split.items()):
        starts = range(0, len(members), shard_rows)
        chunks = [tuple(members[start : start + shard_rows]) for start in starts]
        for index, chunk in enumerate(chunks):
            ids = tuple(entry.id for entry in chunk)
            name = f"{split}-{index:05d}-of-{len(chunks):05d}"
            shard_id = _shard_id(recipe_hash, split, ids)
            planned.append((Shard(shard_id, name, split, ids, state_of(chunk)), chunk))
    return planned


def state_of(inputs: Sequence[Input]) -> str:
    return hashlib.sha256(json.dumps([entry.state for entry in inputs]).encode()).hexdigest()


def _shard_id(recipe_hash: str, split: str, ids: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps([recipe_hash, split, ids]).encode()).hexdigest()[:16]
