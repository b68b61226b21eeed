"""How learning rates fall during a training."""

from __future__ import annotations

import math


def half_cosine(step: int, steps: int, final: float) -> float:
    """Of the first rate, at step ``step``, from 0, of ``steps``: from 1 to ``final``, along half a
    cosine. A ``final`` of 1 is constant."""
    part = min(1.0, step / steps)
    return final + (1 - final) * (1 + math.cos(math.pi * part)) / 2
