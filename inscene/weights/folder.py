"""Where weights lie on this machine.

``FOLDER/NAME/path of the file``, official names throughout, so that any other program can be
pointed at ``FOLDER/NAME`` too. Beside them ``pins.json`` has the hash of each file.
"""

from __future__ import annotations

import os
from pathlib import Path

from inscene.weights.manifest import File, Weight

FOLDER_VARIABLE = "INSCENE_WEIGHTS"
"""Environment variable: another folder, e.g. one on a disk that all machines of a cluster share."""


def weights_folder() -> Path:
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "inscene" / "weights"


def folder_of(weight: Weight) -> Path:
    return weights_folder() / weight.name


def path_of(weight: Weight, file: File) -> Path:
    return folder_of(weight) / file.path
