"""A publish of a prepared dataset, for being killed.

python killable.py DATASET FOLDER [ROW_GROUPS]: after so many it kills itself while staging
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hub.small import package, publish

dataset, folder = map(Path, sys.argv[1:3])
left = int(sys.argv[3]) if len(sys.argv) > 3 else -1


def count(_: int) -> None:
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


made = package(dataset, folder, advance=count)
publish(made, public=True)
