"""MapNet: from FaDeX's features to tokens that the UNet attends to beside the text's.

Overlapping patches, one differential attention, pooling to small grids, a projector for each grid.
The paper gives this order and the split of the heads; widths are chosen, see :class:`MapNet`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.activations import get_activation
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

PATCH_STRIDE = 2
"""[paper]"""


class DegradationAttention(nn.Module):
    """What one half of the channels attends to, less λ times what the other half does [paper].

    ``channels`` C and ``heads`` h: each half has h/2 heads of C/h for queries and keys; the values
    come from all channels, h/2 heads of 2C/h. λ is one learnable scalar [paper]; ``lambda_init``,
    the norm of every head and the factor 1 - lambda_init are the Differential Transformer's
    [unilm, Diff-Transformer/multihead_diffattn.py].
    """

    def __init__(self, channels: int, heads: int, lambda_init: float) -> None:
        super().__init__()
        if heads < 2 or heads % 2:
            raise ValueError(f"heads: two branches share them evenly, got {heads}")
        if channels % heads:
            raise ValueError(f"channels: {channels} do not divide into {heads} heads")
        half = channels // 2
        self.heads = heads // 2
        self.lambda_init = lambda_init
        self.queries = nn.ModuleList(nn.Linear(half, half, bias=False) for _ in range(2))
        self.keys = nn.ModuleList(nn.Linear(half, half, bias=False) for _ in range(2))
        self.value = nn.Linear(channels, channels, bias=False)
        self.weight = nn.Parameter(torch.tensor(float(lambda_init)))
        self.norm = nn.RMSNorm(2 * channels // heads, eps=1e-5)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """B × n × C to the same. Never holds an n × n map, by the identity
        (A₁ - λ A₂) V = A₁ V - λ (A₂ V)."""
        value = self._per_head(self.value(x))
        attended = [
            self._attend(self._per_head(query(half)), self._per_head(key(half)), value)
            for half, query, key in zip(x.chunk(2, dim=-1), self.queries, self.keys, strict=True)
        ]
        difference = attended[0] - self.weight * attended[1]
        normed: Tensor = self.norm(difference) * (1 - self.lambda_init)
        joined: Tensor = self.out(normed.transpose(1, 2).flatten(2))
        return joined

    def _per_head(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        # Flash attention wants queries and keys as wide as values, and without it the CPU would
        # store the map. Zeros change no product; the scale is the true width's.
        width = query.shape[-1]
        zeros = (0, value.shape[-1] - width)
        return F.scaled_dot_product_attention(
            F.pad(query, zeros), F.pad(key, zeros), value, scale=width**-0.5
        )


class MapNet(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Features of one size to ``tokens`` tokens, whatever the size.

    ``in_channels``: FaDeX's last. ``channels``: [chosen] 512, the smallest growth that is a
    doubling; each branch has 256. ``heads``: [paper] 4 a branch. ``token_dim``: of the UNet's
    cross-attention. ``scales``: [paper] grids of 1, 4 and 16 cells. ``lambda_init``: [Diff-
    Transformer] its schedule at depth 0. ``attn_skip``: [chosen] off, since "residual attention"
    reads as the difference of two maps, and no skip is stated. ``shared_projector``: [chosen] off,
    the figure shows one a grid. ``slot_embedding``: [chosen] off, the paper names none; without it
    the UNet cannot know which cell a token is of, as cross-attention has no order.
    ``patch_kernel``: [chosen] 3 = 2 · stride - 1, so that patches overlap as SegFormer's do.
    ``projector_width``: [chosen] ``token_dim``, the paper says a small MLP. ``activation``:
    [chosen] GELU, what MLPs between a transformer's layers mostly have.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        in_channels: int = 256,
        channels: int = 512,
        heads: int = 8,
        token_dim: int = 1024,
        scales: Sequence[int] = (1, 2, 4),
        lambda_init: float = 0.2,
        attn_skip: bool = False,
        shared_projector: bool = False,
        slot_embedding: bool = False,
        patch_kernel: int = 3,
        projector_width: int | None = None,
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        if not scales or min(scales) < 1:
            raise ValueError(f"scales: grids of at least one cell are needed, got {tuple(scales)}")
        if patch_kernel < 1 or patch_kernel % 2 == 0:
            raise ValueError(f"patch_kernel: an odd number is needed, got {patch_kernel}")
        self.scales = tuple(scales)
        self.attn_skip = attn_skip
        self.patches = nn.Conv2d(
            in_channels, channels, patch_kernel, stride=PATCH_STRIDE, padding=patch_kernel // 2
        )
        self.patch_norm = nn.LayerNorm(channels)
        self.attention = DegradationAttention(channels, heads, lambda_init)
        width = token_dim if projector_width is None else projector_width
        self.projectors = nn.ModuleList(
            nn.Sequential(
                nn.Linear(channels, width),
                get_activation(activation),
                nn.Linear(width, token_dim),
                nn.LayerNorm(token_dim),
            )
            for _ in (scales[:1] if shared_projector else scales)
        )
        # At zero it starts as the model without it.
        self.slots = nn.Parameter(torch.zeros(self.tokens, token_dim)) if slot_embedding else None

    @property
    def tokens(self) -> int:
        """How many tokens a face pair gives: 21 by default."""
        return sum(side * side for side in self.scales)

    def forward(self, features: Tensor) -> Tensor:
        """``features``: B × in_channels × H × W. Returns B × tokens × token_dim, the coarsest grid
        first where ``scales`` rises, cells row by row. ValueError: fewer patches than cells."""
        grid: Tensor = self.patches(features)
        height, width = grid.shape[-2:]
        self._check(height, width)
        x: Tensor = self.patch_norm(grid.flatten(2).transpose(1, 2))
        attended: Tensor = self.attention(x)
        if self.attn_skip:
            attended = attended + x
        cells = attended.transpose(1, 2).reshape(len(x), -1, height, width)
        tokens = torch.cat(
            [
                self.projectors[min(index, len(self.projectors) - 1)](
                    F.adaptive_avg_pool2d(cells, scale).flatten(2).transpose(1, 2)
                )
                for index, scale in enumerate(self.scales)
            ],
            dim=1,
        )
        return tokens if self.slots is None else tokens + self.slots

    def _check(self, height: int, width: int) -> None:
        needed = max(self.scales)
        if min(height, width) < needed:
            # Three halvings, each rounded up: two in FaDeX, one here.
            pixels = 8 * (needed - 1) + 1
            raise ValueError(
                f"a grid of {height}×{width} patches cannot be pooled to {needed}×{needed}; both "
                f"sides of a face pair need at least {pixels} px"
            )
