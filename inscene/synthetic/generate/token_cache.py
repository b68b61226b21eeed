"""Identity tokens that have been computed, in memory and in ``~/.cache/inscene/identity-tokens``.

They are derived from people's faces: the files are readable by their owner only, and no part of any
dataset.
"""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from inscene.errors import SampleError
from inscene.weights.folder import weights_folder

IN_MEMORY = 4096
"""References, of 64 KiB each."""


def tokens_folder() -> Path:
    return weights_folder().parent / "identity-tokens"


class TokenCache:
    """By a key that names all that decides the tokens. ``shape`` is that of one reference's; files
    of another one, or damaged, are computed anew."""

    def __init__(self, folder: Path, shape: tuple[int, int], *, in_memory: int = IN_MEMORY) -> None:
        self._folder, self._shape, self._in_memory = folder, shape, in_memory
        self._kept: OrderedDict[str, Tensor | SampleError] = OrderedDict()

    def get(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """What ``compute`` gives, once for all processes; it may raise ``SampleError``, which is
        remembered in this one."""
        found = self._kept.get(key)
        if found is None:
            found = self._from_disk_or(key, compute)
            self._kept[key] = found
            if len(self._kept) > self._in_memory:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        if isinstance(found, SampleError):
            raise SampleError(found.reason, found.detail)
        return found

    def _from_disk_or(self, key: str, compute: Callable[[], Tensor]) -> Tensor | SampleError:
        file = self._folder / key[:2] / f"{key}.safetensors"
        stored = self._read(file)
        if stored is not None:
            return stored
        with self._locked(file):
            stored = self._read(file)  # another process may have had the lock
            if stored is not None:
                return stored
            try:
                tokens = compute()
            except SampleError as error:
                return error
            _write(file, tokens)
            return tokens

    def _read(self, file: Path) -> Tensor | None:
        try:
            tokens = load(file.read_bytes())["tokens"]
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        is_right = tokens.shape == self._shape and tokens.dtype == torch.bfloat16
        return tokens if is_right else None

    @contextmanager
    def _locked(self, file: Path) -> Iterator[None]:
        """One process at a time, for one file of 256. Where the folder cannot be written each is on
        its own."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(file.parent / ".lock")
            lock.acquire()
        except OSError:
            yield
            return
        try:
            yield
        finally:
            lock.release()


def _write(file: Path, tokens: Tensor) -> None:
    """Whole or not at all; nothing where the folder cannot be written."""
    try:
        number, name = tempfile.mkstemp(dir=file.parent, prefix=".new-")  # for its owner only
        try:
            with os.fdopen(number, "wb") as stream:
                stream.write(save({"tokens": tokens}))
            os.replace(name, file)
        except OSError:
            Path(name).unlink(missing_ok=True)
    except OSError:
        return
