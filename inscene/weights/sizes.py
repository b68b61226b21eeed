"""Sizes for people: decimal units, as download pages and disks have them."""

from __future__ import annotations


def in_words(size_bytes: float | None) -> str:
    """None is a size that is not known."""
    if size_bytes is None:
        return "size unknown"
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 999.5 or unit == "GB":
            break
        size_bytes /= 1000
    digits = 0 if unit == "B" or size_bytes >= 100 else 1
    return f"{size_bytes:.{digits}f} {unit}"
