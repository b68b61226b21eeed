"""dino_vitbase16_pretrain.pth with random weights: the names and shapes of the official file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_weights.strided import strided_state

WIDTH, BLOCKS, PATCHES = 768, 12, 14 * 14
FILE = "dino_vitbase16_pretrain.pth"


def write_dino(path: Path) -> None:
    import torch

    torch.save(strided_state(_official().items(), seed=22), path)


def _official() -> dict[str, Any]:
    """Written out, so that it is not the loading code that says what the file is like."""
    import torch

    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 1 + PATCHES, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, 16, 16),
        "patch_embed.proj.bias": (WIDTH,),
    }
    for block in range(BLOCKS):
        for name, shape in {
            "norm1.weight": (WIDTH,),
            "norm1.bias": (WIDTH,),
            "attn.qkv.weight": (3 * WIDTH, WIDTH),
            "attn.qkv.bias": (3 * WIDTH,),
            "attn.proj.weight": (WIDTH, WIDTH),
            "attn.proj.bias": (WIDTH,),
            "norm2.weight": (WIDTH,),
            "norm2.bias": (WIDTH,),
            "mlp.fc1.weight": (4 * WIDTH, WIDTH),
            "mlp.fc1.bias": (4 * WIDTH,),
            "mlp.fc2.weight": (WIDTH, 4 * WIDTH),
            "mlp.fc2.bias": (WIDTH,),
        }.items():
            shapes[f"blocks.{block}.{name}"] = shape
    shapes |= {"norm.weight": (WIDTH,), "norm.bias": (WIDTH,)}
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
