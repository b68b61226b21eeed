"""Weights of a transformer in 8 bits, so that FLUX fits a card of 24 GB.

[chosen] Of plain tensors. bitsandbytes' layers cannot be moved between host and device once they
are quantised (0.50 with torch 2.15), and round what flows through them too; torchao would be one
more package that must fit torch's version. Only weights are rounded here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inscene.synthetic.generate.settings import Quantisation

_BLOCKS = ("transformer_blocks", "single_transformer_blocks")
"""Where 99 % of FLUX's weights are. [chosen] What lies before and after them keeps its precision:
it is small, and every error there reaches every token."""
_DTYPES: dict[Quantisation, torch.dtype] = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}


_UNIT = 128
"""A power of two, so that nothing is rounded by it: float16 would overflow where 8-bit numbers are
added up as they are."""


class EightBitLinear(nn.Module):
    """A linear layer that keeps each row of its weight as 8-bit numbers and one scale. The numbers
    go into the product as they are, exact in any precision; the scales come after it."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, quantisation: Quantisation) -> None:
        super().__init__()
        with torch.no_grad():
            weight, scale = quantised(linear.weight, quantisation)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale * _UNIT)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        scaled = nn.functional.linear(x / _UNIT, self.weight.to(x.dtype)) * self.scale.to(x.dtype)
        return scaled if self.bias is None else scaled + self.bias


def quantised(weight: Tensor, quantisation: Quantisation) -> tuple[Tensor, Tensor]:
    """out × in 8-bit numbers and a scale for each of the out rows, whose products are near the
    weight. The scales have its own dtype: the numbers are rounded to them, so that no row is off as
    a whole."""
    dtype = _DTYPES[quantisation]
    largest = torch.iinfo(dtype).max if dtype == torch.int8 else torch.finfo(dtype).max
    exact = weight.float()
    scale = (exact.abs().amax(dim=1) / largest).to(weight.dtype)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)  # a row of zeros
    numbers = (exact / scale.float()[:, None]).clamp(-largest, largest)
    return (numbers.round() if dtype == torch.int8 else numbers).to(dtype), scale


def quantise(model: nn.Module, quantisation: Quantisation) -> None:
    """Replace the linear layers of its blocks, in place. No gradients afterwards."""
    for name in _BLOCKS:
        _replace(getattr(model, name), quantisation)


def _replace(module: nn.Module, quantisation: Quantisation) -> None:
    for name, child in list(module.named_children()):
        if type(child) is nn.Linear:
            setattr(module, name, EightBitLinear(child, quantisation))
        else:
            _replace(child, quantisation)
