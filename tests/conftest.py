"""Fixtures that many tests share. Images are generated; nothing is downloaded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_photos import synthetic_photo

# Where the tests are started in the background, a shell has Ctrl-C ignored for them and theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# One thread each: tests run side by side, and results must not depend on threads anyway.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 small JPEGs in two sub-folders."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(24):
        sub = folder / ("anna" if index % 2 else "bert")
        sub.mkdir(exist_ok=True)
        synthetic_photo(index, 64 + index, 48).save(sub / f"{index:03d}.jpg", quality=90)
    return folder


Inscene = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def inscene() -> Inscene:
    """Runs the command line in a process of its own, as a user does."""

    def run(*arguments: str | Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "inscene", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run
