"""What the UNet is told, and how two of its answers become one."""

from __future__ import annotations

import torch


def context(prompt: torch.Tensor, tokens: torch.Tensor | None) -> torch.Tensor:
    """``[text; degradation tokens]``: B×(77+T)×d [paper, figure].

    ``prompt``: 1×77×d or B×77×d. ``tokens``: B×T×d; None is a scene without a face pair, of which
    the text alone is said: B×77×d. Attention does not mind how many there are, and no mask is
    needed.
    """
    if tokens is None:
        return prompt
    if prompt.shape[2] != tokens.shape[2]:
        raise ValueError(
            f"prompts have {prompt.shape[2]} channels, degradation tokens {tokens.shape[2]}"
        )
    return torch.cat([prompt.expand(len(tokens), -1, -1).to(tokens), tokens], dim=1)


def guided(negative: torch.Tensor, positive: torch.Tensor, scale: float) -> torch.Tensor:
    """``ε_neg + λ (ε_pos − ε_neg)`` [paper], in the type of its inputs, computed in float32."""
    result = torch.lerp(negative.float(), positive.float(), scale)
    return result.to(positive.dtype)
