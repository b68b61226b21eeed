"""Who is best, second best, and better than a partner: by the numbers as they are displayed."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


class Mark(enum.StrEnum):
    none = ""
    best = "best"
    second = "second"


@dataclass(frozen=True)
class Wins:
    """The paper's column: on how many metrics a row beats its partner."""

    won: int
    of: int
    """Metrics that both have."""

    def __str__(self) -> str:
        return f"{self.won}/{self.of}"


def marks(shown: Mapping[str, str], higher_is_better: bool) -> dict[str, Mark]:
    """The marked rows of one column, from the displayed values of its ranked rows. Equal values
    share a mark. Of two rows one is better: a second place says nothing."""
    values = {row: Decimal(text) for row, text in shown.items()}
    places = sorted(set(values.values()), reverse=higher_is_better)
    meanings = [Mark.best] + ([Mark.second] if len(values) > 2 else [])
    of_value = dict(zip(places, meanings, strict=False))
    return {row: of_value[value] for row, value in values.items() if value in of_value}


def beats(shown: str, partner: str, higher_is_better: bool) -> bool:
    left, right = Decimal(shown), Decimal(partner)
    return left > right if higher_is_better else left < right


def wins(
    shown: Mapping[str, str], partner: Mapping[str, str], higher_is_better: Mapping[str, bool]
) -> Wins:
    """By metric: displayed values of both rows, and directions; a tie is nobody's."""
    both = [key for key in higher_is_better if key in shown and key in partner]
    won = sum(beats(shown[key], partner[key], higher_is_better[key]) for key in both)
    return Wins(won, len(both))
