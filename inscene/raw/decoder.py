"""LibRaw at arm's length: a child process that may crash or hang without harm.

LibRaw has crashed on hostile files (issues 193 to 195) and deadlocks after a fork (rawpy 265). Here
it runs in a process that is started anew, lives as long as it behaves, and is ended when a file
takes longer than its limit. A plain child, and not ``multiprocessing``: the engine's workers are
daemons, which may have none of those.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from inscene.errors import MachineError, SampleError
from inscene.raw.settings import Settings

CRASH, TIMEOUT = "raw_decoder_crash", "raw_timeout"

SERVE = "from inscene.raw.child import serve; serve()"
"""What the child runs."""
_RUN = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); exec(sys.argv[2])"
START_LIMIT_S = 60.0
_MAX_LINE = 2**20
_DEPTHS = {"uint8": np.uint8, "uint16": np.uint16}


class RawDecoder:
    """Develops one file at a time. Starts its child when it needs one, and another when that died.

    ``program`` is what the child runs: Python statements, which tests replace.
    """

    def __init__(self, settings: Settings, timeout_s: float, program: str = SERVE) -> None:
        self._settings, self._timeout_s, self._program = settings, timeout_s, program
        self._child: _Child | None = None

    def start(self) -> None:
        """Raises :class:`MachineError` where LibRaw cannot be run here."""
        if self._child is None:
            self._child = _Child(self._program)

    def develop(self, data: bytes) -> tuple[Any, dict[str, Any]]:
        """(pixels, facts), as :func:`inscene.raw.develop.develop` gives them.

        Raises :class:`SampleError`: the file's own reason, :data:`CRASH` or :data:`TIMEOUT`; and
        :class:`MachineError` where it is not the file that is to blame.
        """
        while True:
            fresh = self._child is None or not self._child.used
            self.start()
            assert self._child is not None
            try:
                return self._child.develop(data, self._settings, self._timeout_s)
            except _Gone as gone:
                self.close()
                # A file before this one may have left the child damaged: what becomes of a file
                # must not depend on its neighbours.
                if gone.reason == TIMEOUT or fresh:
                    raise SampleError(gone.reason, str(gone)) from None

    def close(self) -> None:
        if self._child is not None:
            self._child.end()
        self._child = None


class _Gone(Exception):
    """The child has ended, or was ended, at work."""

    def __init__(self, reason: str, how: str) -> None:
        super().__init__(how)
        self.reason = reason


class _Child:
    def __init__(self, program: str) -> None:
        self.used = False
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _end
        self._errors = errors
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RUN, json.dumps(_import_path()), program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the worker
        )
        self.end = weakref.finalize(self, _end, self._process, errors)
        with _Limit(self._process, START_LIMIT_S):
            try:
                head = self._head()
            except _Gone:
                head = {"machine": self._last_words()}
        if "machine" in head:
            self.end()
            raise MachineError(
                "LibRaw cannot be run",
                why=f"{head['machine']}.",
                next_step="Run: pip install 'inscene[raw]'",
            )

    def develop(
        self, data: bytes, settings: Settings, timeout_s: float
    ) -> tuple[Any, dict[str, Any]]:
        self.used = True
        self._errors.truncate(0)
        request = {"bytes": len(data), "timeout_s": timeout_s, "settings": asdict(settings)}
        with _Limit(self._process, timeout_s) as limit:
            try:
                stdin = self._pipe(self._process.stdin)
                stdin.write(json.dumps(request).encode() + b"\n")
                stdin.write(data)
                stdin.flush()
                head = self._head()
                pixels = self._pixels(head, settings) if "shape" in head else None
            except (_Gone, OSError, ValueError, KeyError, TypeError) as error:
                ended = isinstance(error, (_Gone, OSError))
                code = self._wait() if ended else None
                if limit.passed:
                    raise _Gone(TIMEOUT, f"LibRaw took more than {timeout_s:g} s") from None
                raise _Gone(CRASH, _how(code)) from None
        if limit.passed:  # it was ended when it had just answered
            raise _Gone(TIMEOUT, f"LibRaw took more than {timeout_s:g} s")
        if "reason" in head:
            raise SampleError(str(head["reason"]), str(head.get("detail", "")))
        if "machine" in head:
            raise MachineError(str(head["machine"]))
        if pixels is None:
            raise _Gone(CRASH, str(head.get("broken", "LibRaw's process answered nonsense")))
        return pixels, head["facts"]

    def _head(self) -> dict[str, Any]:
        line = self._pipe(self._process.stdout).readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise _Gone(CRASH, "no answer")
        head = json.loads(line)
        if not isinstance(head, dict):
            raise ValueError("no answer of ours")
        return head

    def _pixels(self, head: dict[str, Any], settings: Settings) -> Any:
        height, width, channels = map(int, head["shape"])
        if channels != 3 or not 0 < height * width <= 4 * settings.max_megapixels * 1e6:
            raise ValueError("no image of ours")
        pixels: Any = np.empty((height, width, channels), _DEPTHS[head["dtype"]])
        wanted = memoryview(pixels).cast("B")
        stdout = self._pipe(self._process.stdout)
        read = 0
        while read < len(wanted):
            count = stdout.readinto(wanted[read:])  # type: ignore[attr-defined]
            if not count:
                raise _Gone(CRASH, "half an answer")
            read += count
        return pixels

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe

    def _wait(self) -> int:
        """Its pipes are closed: it ends, or has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(5)
        self._process.kill()
        return self._process.wait()

    def _last_words(self) -> str:
        self._wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else f"its process {_how(self._process.returncode)}"


class _Limit:
    """Ends the process when the time is up: whoever reads from it then reads an end."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.passed = False
        self._process = process
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def _end(self) -> None:
        self.passed = True
        self._process.kill()

    def __enter__(self) -> _Limit:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """Leaves nothing behind, whatever the process is doing."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, errors):
        with contextlib.suppress(OSError):  # what was to be written has no reader
            if pipe is not None:
                pipe.close()


def _import_path() -> list[str]:
    """The child finds this code, and that of tests, wherever this process does."""
    return [os.path.abspath(place) for place in sys.path]


def _how(code: int | None) -> str:
    if code is None:
        return "LibRaw's process answered nonsense"
    if code >= 0:
        return f"LibRaw's process ended with code {code}"
    try:
        return f"LibRaw's process was killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"LibRaw's process was killed by signal {-code}"
