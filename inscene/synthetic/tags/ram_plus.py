"""RAM++ (Huang et al. 2023): which of 4,585 things are to be seen in an image.

The network is recognize-anything's ``RAM_plus`` [ram/models/ram_plus.py], written anew on timm's
Swin; the file is its ``ram_plus_swin_large_14m.pth``. Its own package asks for timm 0.4.12 and for
a transformers of that time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inscene.errors import MachineError
from inscene.synthetic.tags.settings import OFFICIAL, RamPlusConfig
from inscene.weights.model_files import not_a_model
from inscene.weights.pickles import load_pickle

KEY = "model"
"""Entry of the file that holds the network. The others (optimizer, config, epoch) are of its
training: more than half of the file."""
WHAT = "a checkpoint of RAM++"
IGNORED = ("relative_position_index", "attn_mask")
"""Ends of the names of Swin's constant buffers, which the file has and timm computes anew. Nothing
else in ``model`` goes unused."""
CHUNK = 512
"""[chosen] Classes that the head looks at in one go. All at once, its feed-forward layers alone
would hold 113 MB an image. Chunks cost no time, and change no bit on a CPU."""


class RamPlus(nn.Module):
    """Names of parameters are those of the file, but for Swin's down-sampling: see
    :func:`own_name`."""

    def __init__(self, config: RamPlusConfig = OFFICIAL) -> None:
        """Raises ``MachineError`` without timm."""
        super().__init__()
        self.config = config
        self.visual_encoder = _swin(config)
        self.image_proj = nn.Linear(config.image_dim, config.text_dim)
        self.label_embed = nn.Parameter(
            torch.zeros(config.classes * config.descriptions, config.text_dim)
        )
        self.reweight_scale = nn.Parameter(torch.zeros(()))
        self.wordvec_proj = nn.Linear(config.text_dim, config.width)
        blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.tagging_head = nn.ModuleDict({"encoder": nn.ModuleDict({"layer": blocks})})
        self.fc = nn.Linear(config.width, 1)

    def forward(self, images: Tensor, chunk: int = CHUNK) -> Tensor:
        """B × 3 × image_px², normalised as ImageNet -> B × classes, logits in float32.

        Classes do not see each other, so that ``chunk`` of them at a time give the same.
        """
        side = self.config.image_px
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            got = tuple(images.shape)
            raise ValueError(f"images of 3 × {side} × {side} are needed, got {got}")
        patches = self.visual_encoder.forward_features(images.to(self.fc.weight)).flatten(1, 2)
        tokens = self.image_proj(torch.cat([patches.mean(1, keepdim=True), patches], dim=1))
        seen = [block.crossattention["self"].look(tokens) for block in self._blocks]
        whole = F.normalize(tokens[:, 0].float(), dim=-1) * self.reweight_scale.float().exp()
        texts = self.label_embed.view(self.config.classes, -1, self.config.text_dim)
        logits = [
            self._logits(whole, texts[start : start + chunk], seen)
            for start in range(0, self.config.classes, chunk)
        ]
        return torch.cat(logits, dim=1).float()

    @property
    def _blocks(self) -> Any:
        encoder: Any = self.tagging_head["encoder"]
        return encoder["layer"]

    def _logits(self, whole: Tensor, texts: Tensor, seen: list[tuple[Tensor, Tensor]]) -> Tensor:
        """B × dim, c classes × descriptions × dim, keys and values -> B × c."""
        # Which of a class' descriptions fit the image. In float32: the scale makes large numbers.
        alike = torch.einsum("bw,cdw->cbd", whole, texts.float())
        embed = torch.bmm(alike.softmax(-1).to(texts), texts).transpose(0, 1)
        x = self.wordvec_proj(embed).relu()
        for block, (keys, values) in zip(self._blocks, seen, strict=True):
            x = block(x, keys, values)
        logits: Tensor = self.fc(x)[..., 0]
        return logits


class _Block(nn.Module):
    """Of BERT, each norm after its sum, without the attention among the classes."""

    def __init__(self, config: RamPlusConfig) -> None:
        super().__init__()
        self.crossattention = nn.ModuleDict(
            {"self": _Attention(config), "output": _output(config.width, config.width)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.width, config.inner)})
        self.output = _output(config.inner, config.width)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        attention: Any = self.crossattention
        found = attention["self"](x, keys, values)
        x = _added(attention["output"], found, x)
        return _added(self.output, F.gelu(self.intermediate["dense"](x)), x)


def _output(inside: int, outside: int) -> nn.ModuleDict:
    return nn.ModuleDict(
        {"dense": nn.Linear(inside, outside), "LayerNorm": nn.LayerNorm(outside, eps=1e-12)}
    )


def _added(output: nn.ModuleDict, found: Tensor, x: Tensor) -> Tensor:
    # float32: the smallest eps of BERT is none in bf16.
    norm: Any = output["LayerNorm"]
    total = (output["dense"](found) + x).float()
    weight, bias = norm.weight.float(), norm.bias.float()
    return F.layer_norm(total, norm.normalized_shape, weight, bias, norm.eps).to(x)


class _Attention(nn.Module):
    """Of the classes to the image."""

    def __init__(self, config: RamPlusConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.text_dim, config.width)
        self.value = nn.Linear(config.text_dim, config.width)

    def look(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values: the same for every class."""
        return self._heads(self.key(tokens)), self._heads(self.value(tokens))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        found = F.scaled_dot_product_attention(self._heads(self.query(x)), keys, values)
        return found.transpose(1, 2).flatten(2)

    def _heads(self, x: Tensor) -> Tensor:
        """B × n × width -> B × heads × n × head_dim."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def _swin(config: RamPlusConfig) -> Any:
    try:
        from timm.models.swin_transformer import SwinTransformer
    except ImportError as error:
        raise MachineError(
            "the tagger RAM++ needs timm", why=f"{error}.", next_step="Run: pip install timm"
        ) from error
    return SwinTransformer(
        img_size=config.image_px,
        patch_size=4,
        window_size=config.window,
        embed_dim=config.swin_width,
        depths=config.swin_depths,
        num_heads=config.swin_heads,
        num_classes=0,
        weight_init="skip",  # all come from the file
    )


def load_ram_plus(path: Path, config: RamPlusConfig = OFFICIAL) -> RamPlus:
    """The network of a file, on the CPU, for inference.

    Raises ``MachineError`` without timm, and for a file that is missing, carries code, or has other
    tensors than a RAM++ of this configuration.
    """
    content = load_pickle(path, WHAT)
    state = content.get(KEY) if isinstance(content, Mapping) else None
    del content  # the optimizer's 1.7 GB
    if not isinstance(state, Mapping):
        raise not_a_model(path, WHAT, f"It has no entry {KEY!r}.")
    used = {own_name(str(name)): tensor for name, tensor in state.items() if not _is_ignored(name)}
    with torch.random.fork_rng(devices=[]):  # timm draws numbers that the file's then replace
        network = RamPlus(config)
    if problem := _difference(network, used):
        raise not_a_model(path, WHAT, problem)
    network.load_state_dict(used, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def own_name(name: str) -> str:
    """A name of the file as it is here. Swin's authors down-sample at the end of a stage, timm at
    the beginning of the next; and some files call the head ``vision_multi``."""
    name = re.sub(r"^vision_multi\.", "tagging_head.", name)
    return re.sub(
        r"^(visual_encoder\.layers\.)(\d+)(\.downsample\.)",
        lambda found: f"{found[1]}{int(found[2]) + 1}{found[3]}",
        name,
    )


def _is_ignored(name: str) -> bool:
    return name.startswith("visual_encoder.") and name.endswith(IGNORED)


def _difference(network: nn.Module, state: Mapping[str, Any]) -> str:
    """Between what is there and what should be, as a sentence; empty where there is none. Names are
    those of :func:`own_name`."""
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in sorted(wanted.keys() | state.keys()):
        if name not in wanted:
            return f"It has {name!r}, which is no part of it."
        if not isinstance(state.get(name), Tensor):
            return f"It lacks {name!r}."
        shape = tuple(state[name].shape)
        if shape != wanted[name]:
            return f"Its {name!r} is {shape}, not {wanted[name]}."
    return ""
