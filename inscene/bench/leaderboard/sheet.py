"""What every text form of a leaderboard is drawn from: heads, rows of cells, numbered notes."""

from __future__ import annotations

from dataclasses import dataclass, field

from inscene.bench.leaderboard.ranking import Mark

UP, DOWN = "↑", "↓"


@dataclass(frozen=True)
class Head:
    title: str
    arrow: str = ""
    """Which way is better; empty where neither is."""

    def __str__(self) -> str:
        return f"{self.title} {self.arrow}".rstrip()


@dataclass(frozen=True)
class Entry:
    """A cell as it is shown."""

    text: str
    detail: str = ""
    """Smaller, beside or below: an interval."""
    mark: Mark = Mark.none
    notes: tuple[int, ...] = ()
    """Numbers of notes of the sheet."""
    number: float | None = None
    """What it sorts by; None last."""


@dataclass(frozen=True)
class Row:
    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Section:
    """Rows that belong together; under a title of their own unless that is empty."""

    rows: tuple[Row, ...]
    title: str = ""
    published: bool = False
    """Numbers that were taken from a paper, and never measured here: shown pale."""


@dataclass(frozen=True)
class Sheet:
    title: str
    heads: tuple[Head, ...]
    """Of the names, then of each entry."""
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    """Numbered from 1 in the order given."""
    remarks: tuple[str, ...] = ()
    """Without a number: of the whole sheet."""


@dataclass
class Notes:
    """Collects notes; equal ones share a number."""

    texts: list[str] = field(default_factory=list)

    def number(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def superscript(numbers: tuple[int, ...]) -> str:
    """With a blank before, or nothing."""
    return " " + "˙".join(str(one).translate(_SUPERSCRIPTS) for one in numbers) if numbers else ""
