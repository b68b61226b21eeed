"""Round numbers along an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Maps values to px."""

    low: float
    high: float
    start_px: float
    end_px: float
    logarithmic: bool = False

    def px(self, value: float) -> float:
        low, high, at = (self._scaled(one) for one in (self.low, self.high, value))
        return self.start_px + (at - low) / (high - low) * (self.end_px - self.start_px)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self, about: int = 4) -> list[float]:
        if self.logarithmic:
            return _decades(self.low, self.high)
        step = _round_step((self.high - self.low) / about)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def linear_axis(values: Iterable[float], start_px: float, end_px: float) -> Axis:
    """A little wider than the values."""
    present = list(values)
    low, high = min(present), max(present)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - room, high + room, start_px, end_px)


def time_axis(seconds: Iterable[float], start_px: float, end_px: float) -> Axis:
    present = [max(one, 1e-6) for one in seconds]
    return Axis(min(present) / 1.6, max(present) * 1.6, start_px, end_px, logarithmic=True)


def _round_step(step: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(step))
    return next(nice * magnitude for nice in (1, 2, 5, 10) if nice * magnitude >= step * (1 - 1e-9))


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; powers alone where they are enough."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [nice * 10.0**exponent for exponent in exponents for nice in (1, 2, 5)
            if low <= nice * 10.0**exponent <= high]  # fmt: skip
    powers = [10.0**exponent for exponent in exponents if low <= 10.0**exponent <= high]
    return powers if len(powers) >= 3 else fine


def tick_text(value: float) -> str:
    return f"{value:.6g}" if abs(value) > 1e-12 else "0"
