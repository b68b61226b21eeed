"""Profiles: the ranges that operators are drawn from, as YAML in ``pipelines/profiles/``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"a range is [low, high], got {list(ends)}")
    return ends


def _around_one(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] <= 1 <= ends[1]:
        raise ValueError(f"the range must include 1, got {list(ends)}")
    return ends


def _some_weight(weights: Mapping[str, float]) -> Mapping[str, float]:
    if sum(weights.values()) <= 0:
        raise ValueError("at least one weight must be positive")
    return weights
