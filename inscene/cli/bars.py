"""Distributions as bars of text: block characters, or ASCII where the output has no others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console

if TYPE_CHECKING:
    from inscene.dataset.distribution import Distribution, Numbers

MAX_LABEL = 28
"""Cells; a longer word loses its end."""
LEAST_LABEL = 16
"""Cells; where even these are not left, all names have lines of their own."""
MAX_BAR = 40
MAX_WORDS = 8
"""Lines for one parameter; the rest is counted together."""


class Painter:
    """Lines for one console, none wider than it and none with styles: they may go to a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.width = max(40, console.width)
        unicode = console.encoding.lower().startswith("utf")
        self._levels = "▁▂▃▄▅▆▇█" if unicode else ".:-=+*#@"
        self._parts = " ▏▎▍▌▋▊▉█" if unicode else " #"
        self._more = "…" if unicode else "~"

    def title(self, text: str) -> None:
        self._console.print()
        self._console.print(_clean(text), style="bold", markup=False, highlight=False)

    def line(self, text: str = "") -> None:
        """Any text; wraps at words."""
        self._console.print(_clean(text), markup=False, highlight=False)

    def listing(self, items: Iterable[str]) -> None:
        """Indented, as many items a line as it takes; an item is broken only if it is wider."""
        line = " "
        for item in items:
            if line.strip() and cell_len(f"{line} {item},") > self.width:
                self.line(line)
                line = " "
            line += f" {item},"
        self.line(line.rstrip(","))

    def fit(self, text: str, cells: int) -> str:
        """Exactly so many cells."""
        text = _clean(text)
        if cell_len(text) > cells:
            text = set_cell_size(text, cells - 1).rstrip() + self._more
        return set_cell_size(text, cells)

    def words(self, counts: Mapping[str, int]) -> None:
        """A line for each of the most frequent words: count, share, bar."""
        shown = dict(list(counts.items())[:MAX_WORDS])
        if len(counts) == MAX_WORDS + 1:  # one more word takes no more room than its summary
            shown = dict(counts)
        rest = len(counts) - len(shown)
        if rest:
            shown[f"({rest} others)"] = sum(counts.values()) - sum(shown.values())
        total = sum(counts.values())
        self.bars([(word, count, f"{count / total:7.1%}") for word, count in shown.items()])

    def bars(self, lines: Sequence[tuple[str, int, str]]) -> None:
        """Labels, counts and what is to stand behind the counts."""
        label = min(MAX_LABEL, max(cell_len(_clean(text)) for text, _, _ in lines))
        count = max(len(str(number)) for _, number, _ in lines)
        most = max(number for _, number, _ in lines)
        tail = max(len(text) for _, _, text in lines)
        room = min(MAX_BAR, self.width - label - count - tail - 6)
        for text, number, behind in lines:
            bar = self._bar(number / most if most else 0, room)
            line = f"  {self.fit(text, label)} {number:>{count}} {behind:<{tail}} {bar}"
            self._print(line)

    def _bar(self, share: float, cells: int) -> str:
        steps = len(self._parts) - 1
        filled = round(share * cells * steps)
        if share > 0:
            filled = max(1, filled)
        whole, part = divmod(filled, steps)
        return self._parts[-1] * whole + (self._parts[part] if part else "")

    def histogram(self, numbers: Numbers, bins: int) -> None:
        """A line for each bin."""
        edges, counts = _merged(numbers, bins)
        ends = [f"{edge:.2f}" for edge in edges]
        wide = max(map(len, ends))
        labels = [f"{low:>{wide}} – {high:>{wide}}" for low, high in itertools.pairwise(ends)]
        if len(labels) == 1:
            labels = [ends[0]]
        self.bars([(label, count, "") for label, count in zip(labels, counts, strict=True)])

    def numbers(self, distributions: Mapping[str, Distribution]) -> None:
        """Each distribution's numbers in a line; a name that leaves no room has one of its own."""
        present = [(name, d.numbers) for name, d in distributions.items() if d.numbers]
        rows = [(_clean(name), found.counts, _figures(found)) for name, found in present]
        if not rows:
            return
        heads = ("n", "min", "median", "max")
        wide = [
            max(len(head), *(len(figures[place]) for _, _, figures in rows))
            for place, head in enumerate(heads)
        ]
        bins = max(len(counts) for _, counts, _ in rows)
        room = self.width - 2 - 1 - bins - sum(wide) - len(wide)
        label = min(room, max(cell_len(name) for name, _, _ in rows))
        if room < LEAST_LABEL:
            label = 0

        def print_row(name: str, spark: str, figures: Sequence[str]) -> None:
            if cell_len(name) > label:
                self._print(f"  {self.fit(name, min(cell_len(name), self.width - 2))}")
                name = ""
            start = f"  {set_cell_size(name, label)} " if label else "  "
            aligned = " ".join(
                f"{text:>{cells}}" for text, cells in zip(figures, wide, strict=True)
            )
            self._print(f"{start}{spark:<{bins}} {aligned}")

        print_row("", "", heads)
        for name, counts, figures in rows:
            print_row(name, self._spark(counts), figures)
        for name, distribution in distributions.items():
            if distribution.numbers and distribution.words:
                also = ", ".join(f"{count} × {word}" for word, count in distribution.words.items())
                self.line(f"  {name}: also {also}")

    def _spark(self, counts: Sequence[int]) -> str:
        """A character for each bin; only an empty bin is blank."""
        most, levels = max(counts), self._levels
        return "".join(
            levels[math.ceil(count / most * len(levels)) - 1] if count else " " for count in counts
        )

    def _print(self, line: str) -> None:
        # Without soft wrapping rich would break a line of exact width at its last blank.
        self._console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in text)


def _figures(numbers: Numbers) -> tuple[str, str, str, str]:
    middle, ends = number(numbers.median), (number(numbers.min), number(numbers.max))
    return str(numbers.count), ends[0], middle, ends[1]


def number(value: float) -> str:
    """Three significant digits, whole numbers below a million in full."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def number_or_word(value: str | float) -> str:
    return value if isinstance(value, str) else number(value)


def _merged(numbers: Numbers, bins: int) -> tuple[list[float], list[int]]:
    """Edges and counts with neighbouring bins put together until there are at most ``bins``."""
    at_once = math.ceil(len(numbers.counts) / bins)
    starts = range(0, len(numbers.counts), at_once)
    counts = [sum(numbers.counts[start : start + at_once]) for start in starts]
    edges = [numbers.edges[start] for start in starts]
    return [*edges, numbers.edges[-1]], counts
