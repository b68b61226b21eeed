"""The interface of a step."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from inscene.engine.rows import Call


@dataclass(frozen=True)
class StepContext:
    """What a step may know of the run that it is in."""

    seed: int
    """The recipe's seed; combine it with what names the sample, through :mod:`inscene.seeds`."""
    all_inputs: Callable[[], Sequence[str]] = tuple
    """The ids of all inputs of the run, for a step whose outcome depends on them."""


@dataclass(frozen=True)
class Step(abc.ABC):
    """A frozen dataclass of a step's parameters.

    A step scores, then decides. It reads and writes files only through :mod:`inscene.images` and
    the weights, and draws randomness only from :mod:`inscene.seeds`, so that its outcome depends on
    the row and the recipe alone.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    version: ClassVar[int] = 1
    """Raised when the same parameters begin to mean another result."""
    takes: ClassVar[tuple[str, ...]] = ()
    """Image columns that an input must have (any image source has ``image``)."""

    @abc.abstractmethod
    def setup(self, context: StepContext) -> Call:
        """Load what is needed, once a worker, and return the call over a batch of rows.

        Raises :class:`inscene.errors.MachineError` for what this machine lacks.
        """

    def check(self, input_ids: Sequence[str]) -> None:  # noqa: B027 - most steps take anything
        """Raise :class:`inscene.errors.UsageError` where the step cannot work on these inputs:
        before anything is written."""

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the outcome, as JSON values: part of the recipe's hash."""
        return dataclasses.asdict(self)
