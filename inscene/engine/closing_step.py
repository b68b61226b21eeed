"""The interface of a closing step: one that goes over the whole table when all shards are done."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from inscene.dataset.closing import ClosingDrop
from inscene.engine.step import Threshold


@dataclass(frozen=True)
class ClosingStep(abc.ABC):
    """A frozen dataclass of a step's parameters.

    It sees small columns of every row and says which inputs leave the table because of others. It
    opens no image and runs no model: its outcome depends on those columns and the recipe alone, not
    on the order of the rows.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    version: ClassVar[int] = 1
    """Raised when the same parameters begin to mean another result."""
    reads: ClassVar[tuple[str, ...]] = ()
    """Columns that it sees, beside ``input`` and ``sample_id``. They must be columns of the drops
    table too: it can then decide again."""
    makes: ClassVar[tuple[str, ...]] = ()
    """Kinds of tables that it is for; none: all."""
    needs_steps: ClassVar[tuple[str, ...]] = ()
    """Steps of the recipe that make what it reads."""

    @abc.abstractmethod
    def decide(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, ClosingDrop]:
        """Which inputs leave, and why."""

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the outcome, as JSON values: part of the recipe's hash."""
        return dataclasses.asdict(self)

    @classmethod
    def thresholds(cls, facts: Mapping[str, Any]) -> dict[str, Threshold]:
        """Parameters whose change :func:`inscene.engine.what_if.what_if` answers by deciding again.
        ``facts`` are the step's fingerprint in the run."""
        return {}
