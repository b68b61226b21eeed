"""Runs a command of which nothing may outlive its purpose: ``python guard.py FOLDER COMMAND...``.

A program of its own, standard library only. It ends everything that the command started, at
whatever depth and in whatever session, when the command ends, and when a byte or the end of its own
standard input comes. The byte is the worker's, which lives on to read the outputs. Without one the
worker has died, and nobody else is there to remove FOLDER.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_CANNOT_START = 127  # as a shell's


def main(folder: str, command: list[str]) -> None:
    if sys.platform == "linux":  # orphans become children of this process, which ends them
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error}", file=sys.stderr)
        sys.exit(_CANNOT_START)
    orphaned = threading.Event()
    threading.Thread(target=_end_with_input, args=(child, orphaned), daemon=True).start()
    code = child.wait()
    _end_group(child.pid)
    while orphans := _children():
        for pid in orphans:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)
    if orphaned.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    if code < 0:  # ended by a signal: so does this, without a core of its own
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)  # Python catches SIGINT and ignores SIGPIPE
        os.kill(os.getpid(), -code)
    os._exit(code)  # the thread still reads: an orderly end would wait for its locks


def _end_with_input(child: subprocess.Popen[bytes], orphaned: threading.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1):
        orphaned.set()
    _end_group(child.pid)


def _end_group(leader: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)


def _children() -> list[int]:
    """Of this process; none where the system has no /proc."""
    found, me = [], os.getpid()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # The name in brackets may hold anything; after it: the state, then the parent.
                if int(file.read().rpartition(b")")[2].split()[1]) == me:
                    found.append(int(name))
    return found


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
