"""RAM++ with random weights: the official file's entries and names, of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inscene.synthetic.tags.settings import OFFICIAL, TAG_LIST, THRESHOLDS, RamPlusConfig

TINY = RamPlusConfig(
    image_px=64,
    swin_width=8,
    swin_depths=(2, 2),
    swin_heads=(2, 4),
    window=4,
    classes=11,
    descriptions=3,
    text_dim=10,
    width=16,
    heads=2,
    inner=24,
)
NAMES = ("alley", "bench", "cloud", "dog", "elm", "fog", "gate", "harbour", "ice", "jacket", "kite")


def official_shapes(config: RamPlusConfig = OFFICIAL) -> dict[str, tuple[int, ...]]:
    """What ``RAM_plus(...).state_dict()`` of the authors' package has: Swin's own layout, in which
    a stage ends with its down-sampling, and which keeps masks and indices."""
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, outside: int, inside: int, *, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (outside, inside)
        if bias:
            shapes[f"{name}.bias"] = (outside,)

    def norm(name: str, width: int) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)

    swin, area = "visual_encoder", config.window**2
    shapes["label_embed"] = (config.classes * config.descriptions, config.text_dim)
    shapes["reweight_scale"] = ()
    shapes[f"{swin}.patch_embed.proj.weight"] = (config.swin_width, 3, 4, 4)
    shapes[f"{swin}.patch_embed.proj.bias"] = (config.swin_width,)
    norm(f"{swin}.patch_embed.norm", config.swin_width)
    for stage, (depth, heads) in enumerate(zip(config.swin_depths, config.swin_heads, strict=True)):
        width, side = config.swin_width << stage, config.image_px // 4 >> stage
        for number in range(depth):
            block = f"{swin}.layers.{stage}.blocks.{number}"
            if number % 2 and side > config.window:  # windows are shifted where there are several
                shapes[f"{block}.attn_mask"] = ((side // config.window) ** 2, area, area)
            norm(f"{block}.norm1", width)
            shapes[f"{block}.attn.relative_position_bias_table"] = (
                (2 * config.window - 1) ** 2,
                heads,
            )
            shapes[f"{block}.attn.relative_position_index"] = (area, area)
            linear(f"{block}.attn.qkv", 3 * width, width)
            linear(f"{block}.attn.proj", width, width)
            norm(f"{block}.norm2", width)
            linear(f"{block}.mlp.fc1", 4 * width, width)
            linear(f"{block}.mlp.fc2", width, 4 * width)
        if stage + 1 < len(config.swin_depths):
            linear(f"{swin}.layers.{stage}.downsample.reduction", 2 * width, 4 * width, bias=False)
            norm(f"{swin}.layers.{stage}.downsample.norm", 4 * width)
    norm(f"{swin}.norm", config.image_dim)
    for number in range(config.layers):
        block = f"tagging_head.encoder.layer.{number}"
        linear(f"{block}.crossattention.self.query", config.width, config.width)
        linear(f"{block}.crossattention.self.key", config.width, config.text_dim)
        linear(f"{block}.crossattention.self.value", config.width, config.text_dim)
        linear(f"{block}.crossattention.output.dense", config.width, config.width)
        norm(f"{block}.crossattention.output.LayerNorm", config.width)
        linear(f"{block}.intermediate.dense", config.inner, config.width)
        linear(f"{block}.output.dense", config.width, config.inner)
        norm(f"{block}.output.LayerNorm", config.width)
    linear("wordvec_proj", config.width, config.text_dim)
    linear("fc", 1, config.width)
    linear("image_proj", config.text_dim, config.image_dim)
    return shapes


def ram_plus_state(config: RamPlusConfig = TINY, *, seed: int = 1) -> dict[str, Any]:
    """Random tensors of these names; large enough for scores that differ."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Any] = {}
    for name, shape in official_shapes(config).items():
        if name.endswith("relative_position_index"):
            state[name] = torch.zeros(shape, dtype=torch.int64)
        elif name.endswith("attn_mask"):
            state[name] = torch.zeros(shape)
        elif name == "reweight_scale":
            state[name] = torch.tensor(2.6593)  # ln(1 / 0.07)
        else:
            noise = torch.randn(shape, generator=generator)
            is_norm = len(shape) == 1 and name.endswith("weight")
            state[name] = 1 + 0.1 * noise if is_norm else noise * (shape[-1] ** -0.5 if len(
                shape
            ) == 2 else 0.3)  # fmt: skip
    state["fc.weight"] *= 3
    return state


def write_ram_plus(path: Path, config: RamPlusConfig = TINY, *, seed: int = 1) -> None:
    """As the authors' training saves it."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    optimizer = {
        "state": {0: {"step": 1, "exp_avg": torch.zeros(2)}},
        "param_groups": [{"lr": 0.1}],
    }
    training = {"optimizer": optimizer, "config": {"image_size": config.image_px}, "epoch": 4}
    torch.save({"model": ram_plus_state(config, seed=seed), **training}, path)


def write_lists(folder: Path, thresholds: dict[str, float] | None = None) -> None:
    """Of :data:`NAMES`; 0.65 where nothing else is said, as in the official file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TAG_LIST).write_text("".join(f"{name}\n" for name in NAMES), encoding="utf-8")
    values = [(thresholds or {}).get(name, 0.65) for name in NAMES]
    (folder / THRESHOLDS).write_text("".join(f"{value}\n" for value in values), encoding="utf-8")
