"""From a face's identity vector to the tokens that InfuseNet attends to: a Perceiver resampler.

The network is InfiniteYou's image projector [InfiniteYou, pipelines/resampler.py], written anew;
the file is its ``image_proj_model.bin``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inscene.synthetic.generate.identity import OFFICIAL, ProjectorConfig
from inscene.weights.model_files import not_a_model
from inscene.weights.pickles import load_pickle

KEY = "image_proj"
"""Entry of the file that holds the network."""
WHAT = "InfiniteYou's identity projector"


class IdProjector(nn.Module):
    """Learned queries look at the identity vector, layer by layer."""

    def __init__(self, config: ProjectorConfig = OFFICIAL) -> None:
        super().__init__()
        self.config = config
        self.latents = nn.Parameter(torch.randn(1, config.tokens, config.width) / config.width**0.5)
        self.proj_in = nn.Linear(config.face_dim, config.width)
        self.proj_out = nn.Linear(config.width, config.token_dim)
        self.norm_out = nn.LayerNorm(config.token_dim)
        self.layers = nn.ModuleList(
            nn.ModuleList([_Attention(config), _feed_forward(config)]) for _ in range(config.layers)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """B × face_dim, each of length 1 -> B × tokens × token_dim, in the network's precision."""
        if vectors.ndim != 2 or vectors.shape[1] != self.config.face_dim:
            shape = tuple(vectors.shape)
            raise ValueError(f"vectors of {self.config.face_dim} numbers are needed, got {shape}")
        face = self.proj_in(vectors.to(self.latents)[:, None])
        tokens = self.latents.expand(len(vectors), -1, -1)
        for layer in self.layers:
            attention, feed_forward = layer.children()
            tokens = tokens + attention(face, tokens)
            tokens = tokens + feed_forward(tokens)
        found: Tensor = self.norm_out(self.proj_out(tokens))
        return found


class _Attention(nn.Module):
    """Of the tokens to the face and to themselves."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.width)  # of the face
        self.norm2 = nn.LayerNorm(config.width)  # of the tokens
        self.to_q = nn.Linear(config.width, inner, bias=False)
        self.to_kv = nn.Linear(config.width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, config.width, bias=False)

    def forward(self, face: Tensor, tokens: Tensor) -> Tensor:
        face, tokens = self.norm1(face), self.norm2(tokens)
        keys, values = self.to_kv(torch.cat([face, tokens], dim=1)).chunk(2, dim=-1)
        # float32: a softmax in bf16 has three digits.
        q, k, v = (self._heads(part).float() for part in (self.to_q(tokens), keys, values))
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        joined = seen.transpose(1, 2).flatten(2).to(tokens)
        out: Tensor = self.to_out(joined)
        return out

    def _heads(self, x: Tensor) -> Tensor:
        """B × n × inner -> B × heads × n × head_dim."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def _feed_forward(config: ProjectorConfig) -> nn.Sequential:
    inner = config.widening * config.width
    return nn.Sequential(
        nn.LayerNorm(config.width),
        nn.Linear(config.width, inner, bias=False),
        nn.GELU(),
        nn.Linear(inner, config.width, bias=False),
    )


def load_projector(path: Path, config: ProjectorConfig = OFFICIAL) -> IdProjector:
    """The projector of a file, on the CPU in float32, for inference.

    Raises ``MachineError`` for a file that is missing, carries code, or has other tensors than a
    projector of this configuration.
    """
    content = load_pickle(path, WHAT)
    state = content.get(KEY) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise not_a_model(path, WHAT, f"It has no entry {KEY!r}.")
    with torch.device("meta"):
        projector = IdProjector(config)
    problem = _difference(projector, state)
    if problem:
        raise not_a_model(path, WHAT, problem)
    projector.to_empty(device="cpu").load_state_dict(dict(state), strict=True)
    return projector.float().eval().requires_grad_(False)


def _difference(projector: nn.Module, state: Mapping[str, Any]) -> str:
    """Between what is there and what should be, as a sentence; empty where there is none."""
    wanted = {name: tuple(tensor.shape) for name, tensor in projector.state_dict().items()}
    for name in sorted(wanted.keys() | state.keys()):
        if name not in wanted:
            return f"It has {name!r}, which is no part of it."
        if not isinstance(state.get(name), Tensor):
            return f"It lacks {name!r}."
        shape = tuple(state[name].shape)
        if shape != wanted[name]:
            return f"Its {name!r} is {shape}, not {wanted[name]}."
    return ""
