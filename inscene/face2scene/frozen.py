"""Networks that are looked through and never trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from torch import nn


class Frozen(nn.Module):
    """A network whose weights stay as they are; gradients pass through it to its input.

    It stays in evaluation mode, whatever ``train()`` its owner is given.
    """

    def freeze(self) -> Self:
        """To be called when all parameters are there."""
        return self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """For a while ``module`` takes no gradients and, being in evaluation mode, keeps its buffers.
    Afterwards all is as before, also after an error."""
    trainable = [one for one in module.parameters() if one.requires_grad]
    training = {one: one.training for one in module.modules()}
    for parameter in trainable:
        parameter.requires_grad_(False)
    module.eval()
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
        for one, mode in training.items():
            one.training = mode
