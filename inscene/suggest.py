"""Did you mean …?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known word, or the list of them all."""
    options = sorted(known)
    near = difflib.get_close_matches(word, options, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(options)}."
