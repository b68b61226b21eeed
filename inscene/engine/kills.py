"""Which inputs kill workers: a mark of what is in work, and the count of deaths beside it.

A worker writes down the inputs it is about to work on. When it dies (a segmentation fault in a
decoder, the system's out-of-memory killer), whoever started it reads the mark. The shard is then
tried again one input at a time; an input that was in work at two deaths is quarantined.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence

from inscene.dataset.store import LocalStore, Store

KILLS_TO_QUARANTINE = 2


def mark_file(shard_id: str) -> str:
    return f"run/in-work/{shard_id}"


class InWork:
    """The mark of one shard: positions of the inputs in work.

    On a local disk it is one small write a batch. On an object store, where a write is a request,
    it is kept only when the shard is run carefully.
    """

    def __init__(self, store: Store, shard_id: str, careful: bool) -> None:
        self._store, self._name, self._careful = store, mark_file(shard_id), careful
        self._handle: int | None = None
        if isinstance(store, LocalStore):
            path = store.folder / self._name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def set(self, first: int, count: int) -> None:
        mark = f"{first:>10} {count:>10}".encode()
        if self._handle is not None:
            os.pwrite(self._handle, mark, 0)
        elif self._careful:
            self._store.replace(self._name, mark)

    def __enter__(self) -> InWork:
        return self

    def __exit__(self, *_: object) -> None:
        """Whoever gets here is alive: an exception is no death."""
        if self._handle is not None:
            os.close(self._handle)
        self._store.remove(self._name)


def read_mark(store: Store, shard_id: str, inputs: Sequence[str]) -> tuple[str, ...]:
    """The inputs that were in work when the worker of this shard died; none if it had not begun."""
    name = mark_file(shard_id)
    if store.size(name) is None:
        return ()
    with contextlib.suppress(ValueError):
        first, count = map(int, store.read(name).split())
        return tuple(inputs[first : first + count])
    return ()


def stale_marks(store: Store) -> list[str]:
    """Ids of the shards that a run which died as a whole had in work; their marks are removed."""
    names = store.list(mark_file("*"))
    for name in names:
        store.remove(name)
    return [name.rpartition("/")[2] for name in names]


class Quarantine:
    """Counts deaths by input, across runs."""

    FILE = "run/quarantine.json"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kills: dict[str, int] = {}
        if store.size(self.FILE) is not None:
            self._kills = json.loads(store.read(self.FILE))

    def blame(self, inputs: Sequence[str]) -> None:
        for name in inputs:
            self._kills[name] = self._kills.get(name, 0) + 1
        self._save()

    def acquit(self, inputs: Sequence[str]) -> None:
        """The shard of these is done: who killed only once was a bystander."""
        if any(self._kills.get(name, KILLS_TO_QUARANTINE) < KILLS_TO_QUARANTINE for name in inputs):
            kept = {n: k for n, k in self._kills.items() if k >= KILLS_TO_QUARANTINE}
            self._kills = kept | {n: k for n, k in self._kills.items() if n not in set(inputs)}
            self._save()

    def among(self, inputs: Sequence[str]) -> tuple[str, ...]:
        return tuple(n for n in inputs if self._kills.get(n, 0) >= KILLS_TO_QUARANTINE)

    def _save(self) -> None:
        self._store.replace(self.FILE, json.dumps(self._kills, indent=1).encode())
