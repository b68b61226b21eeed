"""What is printed: tables, goals, the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Goal:
    what: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g}: {'met' if self.met else 'NOT MET'}"


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Markdown, aligned; all columns but the first to the right."""
    widths = [max(len(row[index]) for row in (heads, *rows)) for index in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join([cells[0].ljust(widths[0]), *padded[1:]])} |"

    print(line(heads))
    print("|-" + "-|-".join("-" * width for width in widths) + "-|")
    for row in rows:
        print(line(row))
    print()


def print_goals(goals: Sequence[Goal]) -> None:
    print(f"## Goals: {sum(goal.met for goal in goals)} of {len(goals)} met\n")
    rows = [(goal.what, f"{goal.value:.3g} {goal.unit}".rstrip(), str(goal)) for goal in goals]
    print_table(("goal", "measured", "verdict"), rows)


def machine_line(packages: Sequence[str]) -> str:
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{_processor()}, {os.cpu_count()} CPUs, {memory_gb:.0f} GB, {platform.system()}, "
        f"load {os.getloadavg()[0]:.1f} at the start; Python {platform.python_version()}, "
        + ", ".join(versions)
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
