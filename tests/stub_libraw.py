"""In LibRaw's place: crashes, hangs or misbehaves as the bytes that it gets say."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

from inscene.engine.rows import Call, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.raw.child import serve
from inscene.raw.develop import Developed, develop
from inscene.raw.settings import Settings
from inscene.raw.steps.develop import Develop

PROGRAM = "from stub_libraw import serve_stub; serve_stub()"
_done = 0


def serve_stub() -> None:
    serve(_work)


def _work(data: bytes, settings: Settings) -> Developed:
    global _done
    _done += 1
    if data.startswith(b"CRASH"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"DAMAGED") and _done > 1:  # by the file before it
        os.kill(os.getpid(), signal.SIGABRT)
    if data.startswith(b"HANG"):
        ctypes.PyDLL(None).sleep(60)  # holding the interpreter, as C code may
    if data.startswith(b"EXIT"):
        sys.stdout.flush()
        os._exit(3)
    if data.startswith(b"PRINT"):
        os.write(1, b"a library speaks\n")
        print("and so does Python")
    if data.startswith(b"BUG"):
        raise ZeroDivisionError("a bug of ours")
    if data.startswith(b"SLOW"):
        time.sleep(0.3)
    return develop(data[data.index(b"\n") + 1 :] if data[:2] != b"II" else data, settings)


@dataclass(frozen=True)
class DevelopWithStub(Develop):
    program: ClassVar[str] = PROGRAM


@dataclass(frozen=True)
class Darken(Step):
    """A step that changes the image."""

    def setup(self, context: StepContext) -> Call:
        def darken(row: Row) -> Outcome:
            assert row.pixels is not None
            row.pixels = row.pixels // 2
            return Keep((row,))

        return row_by_row(darken)
