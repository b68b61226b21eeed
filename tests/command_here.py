"""The command line in the tests' own process: what it imports is imported once."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from inscene.cli import main


def inscene_here(*arguments: str | Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """As the fixture ``inscene``. For commands whose work is not given to other processes."""
    command = ["inscene", *map(str, arguments)]
    stdout, stderr = io.StringIO(), io.StringIO()
    ended = 0
    with patch.object(sys, "argv", command), redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            main()
        except SystemExit as done:
            ended = done.code if isinstance(done.code, int) else int(done.code is not None)
    found = subprocess.CompletedProcess(command, ended, stdout.getvalue(), stderr.getvalue())
    if code is not None:
        assert ended == code, f"exit {ended}\n{found.stdout}\n{found.stderr}"
    return found
