"""A step that does nothing but say, once a worker, that the steps before it are set up."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from inscene.engine.rows import Call, Keep, row_by_row
from inscene.engine.step import Step, StepContext


@dataclass(frozen=True)
class Ready(Step):
    folder: str
    """Where each worker leaves a file that is named by its process id and holds the time, s since
    the epoch."""

    def setup(self, context: StepContext) -> Call:
        target = Path(self.folder) / str(os.getpid())
        partial = Path(f"{target}.part")
        partial.write_text(repr(time.time()))
        partial.rename(target)  # whoever looks sees all of it or nothing
        return row_by_row(lambda row: Keep((row,)))
