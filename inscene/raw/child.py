"""The process in which LibRaw runs, started by :mod:`inscene.raw.decoder`.

Requests come in on stdin, answers go out on stdout: a line of JSON, then as many bytes as it says.
LibRaw may crash this process, or hang in it; whoever started it sees to that. It ends by itself
when stdin does, and, should its owner be gone while LibRaw hangs, some time after the limit.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Callable
from typing import IO, Any

from inscene.errors import MachineError, SampleError
from inscene.raw.develop import Developed, develop
from inscene.raw.settings import Settings

OWNER_GONE_S = 10.0
"""After the owner's own limit: so much later it would have ended this process."""

Work = Callable[[bytes, Settings], Developed]


def serve(work: Work = develop) -> None:
    """Answer until stdin ends."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    try:
        import rawpy  # noqa: F401 - now, so that the first photo's time is its own
    except ImportError as error:
        _answer(answers, {"machine": str(error)})
        return
    _answer(answers, {"ready": True})
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["bytes"])
        if len(data) < request["bytes"]:
            return
        # A thread of C: it needs no turn of the interpreter, which a hanging LibRaw may hold.
        faulthandler.dump_traceback_later(request["timeout_s"] + OWNER_GONE_S, exit=True)
        try:
            developed = work(data, Settings(**request["settings"]))
        except SampleError as error:
            _answer(answers, {"reason": error.reason, "detail": error.detail})
        except (MachineError, MemoryError) as error:
            _answer(answers, {"machine": str(error) or "out of memory"})
        except Exception as error:
            _answer(answers, {"broken": f"{type(error).__name__}: {error}"})
        else:
            pixels = developed.pixels
            head = {"shape": pixels.shape, "dtype": pixels.dtype.name, "facts": developed.facts}
            _answer(answers, head, pixels.data)
        faulthandler.cancel_dump_traceback_later()


def _answer(answers: IO[bytes], head: dict[str, Any], body: Any = b"") -> None:
    answers.write(json.dumps(head).encode() + b"\n")
    answers.write(body)
    answers.flush()
