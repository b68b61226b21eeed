"""Every error that a user can meet, its exit code and the next step it suggests.

InsceneError                 what, where, why, next step
├── UsageError               2  a command, a path or a name that makes no sense
│   └── RecipeError          2  a YAML file or a ``--set`` that does not fit its model
├── BusyError                3  another run holds the dataset folder
├── MachineError             4  something this machine lacks: disk, memory, a package, weights
│   └── NotBuiltYetError     4  a method whose code is still to come
├── InterruptedRunError    130  Ctrl-C
└── VerificationError        5  a dataset that does not agree with its own records

SampleError                  one input is unusable; the run goes on (exit code 1 at its end)
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    OK = 0
    PARTIAL = 1  # finished, with errors in some samples
    USAGE = 2
    BUSY = 3
    MACHINE = 4
    VERIFICATION = 5
    INTERRUPTED = 130  # as a shell reports SIGINT


class InsceneError(Exception):
    """An error that ends the command.

    ``what`` happened, ``where`` (a path, a key, a shard), ``why``, and what to do ``next_step``.
    """

    exit_code = ExitCode.USAGE

    def __init__(
        self, what: str, *, where: str | None = None, why: str | None = None, next_step: str = ""
    ) -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.next_step = what, where, why, next_step

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return " ".join(part for part in (head, self.why, self.next_step) if part)

    def __reduce__(self) -> tuple[object, ...]:  # keyword-only arguments survive a worker's pipe
        return (_rebuild, (type(self), self.what, self.where, self.why, self.next_step))


def _rebuild(
    kind: type[InsceneError], what: str, where: str | None, why: str | None, next_step: str
) -> InsceneError:
    return kind(what, where=where, why=why, next_step=next_step)


class UsageError(InsceneError):
    exit_code = ExitCode.USAGE


class RecipeError(UsageError):
    pass


class BusyError(InsceneError):
    exit_code = ExitCode.BUSY


class MachineError(InsceneError):
    exit_code = ExitCode.MACHINE


class NotBuiltYetError(MachineError):
    pass


class InterruptedRunError(InsceneError):
    exit_code = ExitCode.INTERRUPTED


class VerificationError(InsceneError):
    exit_code = ExitCode.VERIFICATION


class SampleError(Exception):
    """One sample is unusable. ``reason`` is a stable snake_case word, ``detail`` is for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason
