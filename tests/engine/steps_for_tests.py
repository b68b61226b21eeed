"""Steps that recipes of the tests name as ``steps_for_tests:Class``."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from inscene.engine.rows import Call, Drop, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext


@dataclass(frozen=True)
class Sleep(Step):
    """Takes its time, so that a kill finds work in progress."""

    seconds: float = 0.01

    def setup(self, context: StepContext) -> Call:
        def sleep(row: Row) -> Outcome:
            time.sleep(self.seconds)
            return Keep((row,))

        return row_by_row(sleep)


@dataclass(frozen=True)
class DropNarrow(Step):
    """Scores every image, then drops what is narrower than a limit."""

    min_width_px: int = 70

    def setup(self, context: StepContext) -> Call:
        def decide(row: Row) -> Outcome:
            assert row.pixels is not None
            width = row.pixels.shape[1]
            row.scores["laplacian_var"] = float(width)
            return Keep((row,)) if width >= self.min_width_px else Drop("too_narrow", f"{width} px")

        return row_by_row(decide)


@dataclass(frozen=True)
class Poison(Step):
    """Kills its process at inputs with a certain name, as a decoder with a bug does."""

    name: str = "poison"

    def setup(self, context: StepContext) -> Call:
        def work(row: Row) -> Outcome:
            if self.name in row.input_id:
                os.kill(os.getpid(), signal.SIGSEGV)
            return Keep((row,))

        return row_by_row(work)


@dataclass(frozen=True)
class DieOnce(Step):
    """Kills its process the first time that it sees a certain input: a bystander's death."""

    name: str
    flag: str

    def setup(self, context: StepContext) -> Call:
        def work(row: Row) -> Outcome:
            if self.name in row.input_id and not os.path.exists(self.flag):
                with open(self.flag, "w"):
                    pass
                os.kill(os.getpid(), signal.SIGKILL)
            return Keep((row,))

        return row_by_row(work)


@dataclass(frozen=True)
class Crash(Step):
    """Raises at inputs with a certain name."""

    name: str

    def setup(self, context: StepContext) -> Call:
        def work(row: Row) -> Outcome:
            if self.name in row.input_id:
                raise ZeroDivisionError("a bug in a step")
            return Keep((row,))

        return row_by_row(work)


@dataclass(frozen=True)
class DieAtSetup(Step):
    def setup(self, context: StepContext) -> Call:
        os._exit(7)


@dataclass(frozen=True)
class SayGpu(Step):
    """Wants a GPU, and writes into ``source`` which one its worker sees."""

    wanted: bool = True

    @property
    def on_gpu(self) -> bool:
        return self.wanted

    def setup(self, context: StepContext) -> Call:
        def say(row: Row) -> Outcome:
            row.columns["source"] = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
            time.sleep(0.05)  # long enough that no worker does all of it
            return Keep((row,))

        return row_by_row(say)
