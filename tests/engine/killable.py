"""The command line, with a SIGKILL of its own at one chosen moment of its writing.

    python killable.py MOMENT COUNT -- ARGUMENTS of inscene

MOMENT: ``fsync``, ``replace`` (just before the rename), ``replaced`` (just after it, before the
record), ``link`` (just before the record), ``linked``; COUNT: at which of those calls.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def arm(moment: str, count: int) -> None:
    name = {"replaced": "replace", "linked": "link"}.get(moment, moment)
    real: Callable[..., Any] = getattr(os, name)
    calls = 0

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < count:
            return real(*args, **kwargs)
        if moment != name:
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, name, deadly)


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["inscene", *sys.argv[4:]]
    from inscene.cli import main

    main()
