"""A running mean of trained weights, which is less noisy than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class RunningMean:
    """Of named parameters. Early steps count less: the decay of step n is at most (1+n)/(10+n)
    [chosen: as diffusers has it], or the random beginning would stay for 1/(1-decay) steps."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self._parameters, self.decay = dict(parameters), decay
        self.updates = 0
        self.means = {name: one.detach().clone() for name, one in parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, one in self._parameters.items():
            self.means[name].lerp_(one, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """For a while the model has the means as its weights; afterwards its own, bit for bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, one in self._parameters.items():
            kept = one.detach().clone()
            one.copy_(self.means[name])
            self.means[name].copy_(kept)

    def state(self) -> dict[str, object]:
        return {"updates": self.updates, "means": self.means}

    @torch.no_grad()
    def load(self, updates: int, means: Mapping[str, Tensor]) -> None:
        self.updates = updates
        for name, mean in self.means.items():
            mean.copy_(means[name])
