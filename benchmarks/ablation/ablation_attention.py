"""How much of what cross-attention adds to the UNet comes from the degradation tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from diffusers.models.attention_processor import Attention
from torch import Tensor, nn


@dataclass
class Shares:
    """Means over images and layers, 0..1."""

    weight: list[float] = field(default_factory=list)
    """Attention's weights: of those that sum to one, what tokens get."""
    norm: list[float] = field(default_factory=list)
    """Of the lengths of both sums of weighted values, after the layer's last projection."""

    def means(self) -> dict[str, float]:
        return {
            "weight": sum(self.weight) / len(self.weight),
            "norm": sum(self.norm) / len(self.norm),
        }


@contextlib.contextmanager
def watched(unet: nn.Module, text: int) -> Iterator[Shares]:
    """``text``: how many entries of the context come before the tokens."""
    shares = Shares()

    def look(layer: Attention, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        context = named.get("encoder_hidden_states")
        if context is not None:
            _measure(layer, args[0], context, text, shares)

    hooks = [
        module.register_forward_pre_hook(look, with_kwargs=True)
        for module in unet.modules()
        if isinstance(module, Attention)
    ]
    try:
        yield shares
    finally:
        for hook in hooks:
            hook.remove()


def _measure(layer: Attention, hidden: Tensor, context: Tensor, text: int, shares: Shares) -> None:
    query, key, value = (
        _per_head(project(given), layer.heads)
        for project, given in (
            (layer.to_q, hidden),
            (layer.to_k, context),
            (layer.to_v, context),
        )
    )
    weights = (query @ key.transpose(-1, -2) * layer.scale).softmax(-1)
    shares.weight.append(float(weights[..., text:].sum(-1).mean()))
    said, heard = (
        _length(layer, weights[..., part] @ value[..., part, :])
        for part in (slice(None, text), slice(text, None))
    )
    shares.norm.append(float((heard / (said + heard).clamp_min(1e-12)).mean()))


def _per_head(x: Tensor, heads: int) -> Tensor:
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def _length(layer: Attention, attended: Tensor) -> Tensor:
    """Without the projection's bias, which is neither's."""
    joined = attended.transpose(1, 2).flatten(2)
    return (joined @ layer.to_out[0].weight.T).norm(dim=-1)
