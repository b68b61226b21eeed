"""What every training step does: add up micro-batches, and update if all of it is finite."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from inscene.errors import InsceneError
from inscene.face2scene import ranks

Scalars = dict[str, float]


class NonFiniteLossError(InsceneError):
    """A loss or a gradient is NaN or infinite. Nothing was updated with it."""


def parameters_of(optimiser: Optimizer) -> list[nn.Parameter]:
    return [one for group in optimiser.param_groups for one in group["params"]]


class Update:
    """One step of one optimiser, over any number of micro-batches.

    Gradients begin at None and end at None, so that none of them enters another step. What
    :meth:`add` is given must already have the micro-batch's share of the whole; it adds up.
    """

    def __init__(self, optimiser: Optimizer) -> None:
        self._optimiser = optimiser
        self._sums: dict[str, list[Tensor]] = defaultdict(list)
        optimiser.zero_grad(set_to_none=True)

    def add(self, loss: Tensor, /, **shown: Tensor) -> None:
        """Accumulate the gradients of ``loss``; ``shown`` are scalars to report."""
        for name, value in shown.items():
            self._sums[name].append(value.detach().float())
        loss.backward()  # type: ignore[no-untyped-call]

    def apply(self, clip_norm: float, norm_name: str) -> Scalars:
        """Clip to a norm of ``clip_norm`` and step. Returns what was shown, and the norm before
        clipping as ``norm_name``; of several ranks, the means of gradients and of what was shown.

        Raises :class:`NonFiniteLossError`, naming what is not finite, before anything is changed.
        """
        parameters = parameters_of(self._optimiser)
        ranks.average_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, clip_norm)
        names, values = zip(*self._sums.items(), strict=True) if self._sums else ((), ())
        shown = [torch.stack(one).sum() for one in values]
        sums = dict(zip(names, ranks.average(torch.stack(shown)), strict=True)) if shown else {}
        sums[norm_name] = norm.detach().float()
        try:
            # Read at once: an accelerator is waited for once a step.
            scalars = dict(zip(sums, torch.stack(list(sums.values())).tolist(), strict=True))
            _check_finite(scalars)
            self._optimiser.step()
        finally:
            self._optimiser.zero_grad(set_to_none=True)
        return scalars


def _check_finite(scalars: Scalars) -> None:
    wrong = [f"{name} is {value}" for name, value in scalars.items() if not math.isfinite(value)]
    if wrong:
        others = ", ".join(f"{name} {value:.3g}" for name, value in scalars.items())
        raise NonFiniteLossError(
            f"training has left the finite numbers: {', '.join(wrong)}",
            why=f"Of this step: {others}. Nothing was updated with it.",
            next_step="Go on from the last checkpoint with a lower learning rate, or in float32; "
            "if it comes at once, look at the images of this batch.",
        )


@contextmanager
def last_synchronises(module: nn.Module, index: int, batches: Sequence[object]) -> Iterator[None]:
    """Where ``module`` is torch's DistributedDataParallel, its ranks exchange gradients once a
    step, at the last micro-batch."""
    is_last = index == len(batches) - 1
    no_sync = getattr(module, "no_sync", None)
    with nullcontext() if is_last or no_sync is None else no_sync():
        yield
