"""Finds the folders that travel with the code: ``pipelines``, ``benchmarks`` and ``manifests``.

In a source checkout they stand beside the package; a wheel carries them inside it.
"""

from __future__ import annotations

from pathlib import Path

KINDS = ("pipelines", "benchmarks", "manifests")


def shipped_folder(kind: str) -> Path:
    """The folder of that kind. ``kind`` is one of :data:`KINDS`."""
    if kind not in KINDS:
        raise ValueError(f"no shipped folder {kind!r}: one of {', '.join(KINDS)}")
    package = Path(__file__).resolve().parent
    in_wheel = package / "_shipped" / kind
    return in_wheel if in_wheel.is_dir() else package.parent / kind


def shipped_names(kind: str, subfolder: str = "") -> list[str]:
    """The names of the YAML files in a shipped folder, without their ending, sorted."""
    return sorted(path.stem for path in (shipped_folder(kind) / subfolder).glob("*.yaml"))
