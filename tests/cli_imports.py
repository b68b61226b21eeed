"""Which modules a piece of code imports, in a process of its own."""

import subprocess
import sys


def imported_by(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint('MODULES', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    line = done.stdout.rpartition("MODULES ")[2]
    return {name.partition(".")[0] for name in line.split()}


def running(arguments: list[str]) -> str:
    """Code that runs the command line and goes on after it."""
    return f"""
import sys
sys.argv = ["inscene", *{arguments}]
from inscene.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
