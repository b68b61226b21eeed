"""The interface of a step."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from inscene.engine.rows import Call


@dataclass(frozen=True)
class StepContext:
    """What a step may know of the run that it is in."""

    seed: int
    """The recipe's seed; combine it with what names the sample, through :mod:`inscene.seeds`."""
    all_inputs: Callable[[], Sequence[str]] = tuple
    """The ids of all inputs of the run, for a step whose outcome depends on them."""


@dataclass(frozen=True)
class Threshold:
    """A parameter whose change can be answered from what is stored, with no model and no image."""

    value: Any
    """In the run."""
    type: Any
    """What a new value must be, for pydantic."""
    score: str | None = None
    """The stored score that it is compared with, a name of :data:`inscene.schema.SCORES`. None: the
    threshold's own name tells, where it is a score's (``musiq.min``, ``min_face_area``)."""
    limit: float | None = None
    """What the score is compared with, where ``value`` is a word or stands for another number."""
    most: bool = False
    """The score may be at most so much; else it must be at least."""


@dataclass(frozen=True)
class Redecision:
    """What a step would decide of a stored row, were its thresholds others."""

    outcome: Literal["keep", "drop", "unknown"]
    reason: str = ""
    """Of a drop, in the step's own word; of an unknown, what one would have to know."""
    other_image: bool = False
    """It would be kept as another image than the stored one."""


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
    copies: ClassVar[bool] = False
    """It leaves rows what another run made them: their provenance stays."""
    takes: ClassVar[tuple[str, ...]] = ()
    """Image columns that an input must have (any image source has ``image``)."""

    @property
    def on_gpu(self) -> bool:
        """Whether a worker should have a GPU of its own, where there are any."""
        return False

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

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        """Those that :meth:`redecide` can answer for, by their names below the step's. ``facts``
        are the step's fingerprint in the run."""
        return {}

    @classmethod
    def redecide(
        cls, facts: Mapping[str, Any], changed: Mapping[str, Any], row: Mapping[str, Any]
    ) -> Redecision:
        """Decide again over a row that this step has kept or dropped. ``changed`` are new values of
        some :meth:`thresholds`, ``row`` the stored columns of :data:`inscene.engine.what_if.READ`
        that its table has."""
        raise NotImplementedError(f"{cls.__name__} has no thresholds")
