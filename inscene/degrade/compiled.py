"""The compiler of the inner loops: numba, which needs nothing on the machine but its wheel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile at the first call for its argument types, and keep the result on disk.

    Multiplication and addition may become one operation with a single rounding; sums are never
    reordered. Divisions by zero give infinity, as in NumPy. No threads, no state: the functions
    are pure but for the arrays that they are given to fill.
    """
    try:
        made = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        made = njit(nogil=True, error_model="numpy", fastmath={"contract"})(function)
    return cast(F, made)
