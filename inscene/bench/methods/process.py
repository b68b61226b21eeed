"""One run of an external command: its environment, its time limit, its log."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inscene.bench.methods import guard

_TAIL_BYTES = 4096
_LINE_LENGTH = 200

# Named one by one: a secret has any name, and code from elsewhere is run.
_KEPT = {
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
    "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "TRANSFORMERS_OFFLINE",
    "TORCH_HOME", "GPU_DEVICE_ORDINAL",
}  # fmt: skip
_KEPT_BEGINNINGS = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "NCCL_", "ROCR_", "HIP_", "OMP_", "MKL_")
_PROXIES = {"http_proxy", "https_proxy", "no_proxy", "all_proxy"}


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int | None
    """None where its time was up; below 0 where a signal ended it."""
    last_line: str

    @property
    def failed(self) -> bool:
        return self.code != 0

    @property
    def cause(self) -> str:
        assert self.code is not None
        if self.code < 0:
            try:
                how = f"killed by {signal.Signals(-self.code).name}"
            except ValueError:  # a real-time signal has no name
                how = f"killed by signal {-self.code}"
        else:
            how = f"exit code {self.code}"
        return f"{how}: {self.last_line}" if self.last_line else how


def run(command: Sequence[str], cwd: Path, work: Path, log: Path, timeout_s: float) -> Ended:
    """Run to the end, or to the end of its time. Nothing that it started is left behind, whatever
    happens to it, to this process or to the terminal; nor is ``work`` if this process dies. Output
    is added to the log."""
    with log.open("ab") as file:
        file.write(f"$ {subprocess.list2cmdline(command)}\n".encode())
        file.flush()
        begin = file.tell()
        guarded = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(work), *command],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=clean_environment(os.environ),
            start_new_session=True,  # Ctrl-C is for this process, which then ends that one
        )
        assert guarded.stdin is not None
        code: int | None = None
        try:
            code = guarded.wait(timeout_s)
        except subprocess.TimeoutExpired:
            file.write(f"[inscene] stopped after {timeout_s:g} s\n".encode())
        finally:
            with contextlib.suppress(BrokenPipeError):  # it has ended
                guarded.communicate(b"q")
    return Ended(code, _last_line(log, begin))


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a foreign program may see of it: no token, and nothing of this Python's."""
    return {
        name: value
        for name, value in environment.items()
        if name in _KEPT
        or name.startswith(_KEPT_BEGINNINGS)
        or (name.lower() in _PROXIES and "@" not in value)  # an "@" follows a password
    }


def _last_line(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(begin, end - _TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)  # colours
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    last = next((line for line in reversed(lines) if line), "")
    return "".join(char if char.isprintable() else " " for char in last)[:_LINE_LENGTH]
