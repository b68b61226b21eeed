"""One run a folder: the second is refused at once, with the first one's host and process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from inscene.dataset.store import LocalStore, Store, disk_errors_explained
from inscene.errors import BusyError

LOCK = "run/lock"


@contextlib.contextmanager
def hold(store: Store) -> Iterator[None]:
    """Hold the folder for the length of a run. Raises :class:`BusyError` where another does."""
    guard = _hold_local(store) if isinstance(store, LocalStore) else _hold_url(store)
    with guard:
        yield


def _me() -> bytes:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()


def _busy(store: Store, holder: bytes, next_step: str) -> BusyError:
    try:
        who = json.loads(holder)
        by = f"by process {who['pid']} on {who['host']}"
    except (ValueError, KeyError, TypeError):
        by = "by another process"
    return BusyError(f"is being written {by}", where=store.root, next_step=next_step)


@contextlib.contextmanager
def _hold_local(store: LocalStore) -> Iterator[None]:
    """An operating-system lock: it ends with its process, however that ends."""
    import filelock

    path = store.folder / LOCK
    owner = path.with_name("lock.owner")
    with disk_errors_explained(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            wait = "Wait for it to end, or choose another --out."
            raise _busy(store, _read_owner(owner), wait) from None
    try:
        store.replace("run/lock.owner", _me())
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _read_owner(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


@contextlib.contextmanager
def _hold_url(store: Store) -> Iterator[None]:
    """An object that only one writer can create. A killed run leaves it; its own host clears it."""
    if not store.create(LOCK, _me()):
        holder = store.read(LOCK)
        if not _is_dead_here(holder):
            wait = f"If that run is dead, delete {store.describe(LOCK)} and try again."
            raise _busy(store, holder, wait)
        store.replace(LOCK, _me())
    try:
        yield
    finally:
        store.remove(LOCK)


def _is_dead_here(holder: bytes) -> bool:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        who = json.loads(holder)
        if who["host"] == socket.gethostname():
            try:
                os.kill(who["pid"], 0)
            except ProcessLookupError:
                return True
            except PermissionError:
                return False
    return False
