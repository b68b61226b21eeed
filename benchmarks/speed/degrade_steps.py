"""Time by step: a clock around each function that a chain calls."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

ENGINE_STEPS: dict[str, list[str]] = {
    "kernel": ["kernel", "decompose"],
    "blur": ["blur"],
    "resize": ["resize"],
    "noise": ["add_noise"],
    "jpeg": ["jpeg.compress"],
}
"""Step -> what ``inscene.degrade.apply`` calls for it, as that module names it. The time of
``noise`` is booked as gaussian or poisson, by the value with a ``kind`` among its arguments."""

STEP_NAMES = ("kernel", "blur", "resize", "gaussian", "poisson", "jpeg", "rest")


class StepClock:
    """CPU seconds by step. A watched function that calls another is charged without it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []
        """For each watched call under way, the seconds of the watched calls inside it."""

    def watch(self, module: ModuleType, steps: Mapping[str, Sequence[str]]) -> None:
        """Put a clock around attributes of a module, dotted names included.

        Raises ``SystemExit`` for a name that is not there: its time would silently be in the rest.
        """
        for step, names in steps.items():
            for name in names:
                *path, last = name.split(".")
                owner: Any = module
                try:
                    for part in path:
                        owner = getattr(owner, part)
                    function = getattr(owner, last)
                except AttributeError:
                    raise SystemExit(
                        f"{module.__name__} has no {name!r}, which the step {step!r} names: "
                        f"correct the table of steps (ENGINE_STEPS in {__name__}.py)"
                    ) from None
                setattr(owner, last, self._clocked(step, function))

    def _clocked(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def clocked(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            began = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.process_time() - began
                self.seconds[_booked_as(step, args, kwargs)] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        return clocked


def _booked_as(step: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    if step != "noise":
        return step
    kinds = (getattr(value, "kind", None) for value in (*args, *kwargs.values()))
    found = next((kind for kind in kinds if kind in ("gaussian", "poisson")), None)
    if found is None:
        raise SystemExit("no argument of the function for 'noise' has a kind: name the functions")
    return str(found)
