"""The files that pyiqa 0.1.16 loads, with random weights: official names, keys and shapes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from tiny_weights.strided import strided_state

CLIP_TEXT = {
    "context_length": 77,
    "vocab_size": 49408,
    "transformer_width": 512,
    "transformer_heads": 8,
    "transformer_layers": 12,
}
CLIP_RN50 = {
    "embed_dim": 1024,
    "image_resolution": 224,
    "vision_layers": (3, 4, 6, 3),
    "vision_width": 64,
    "vision_patch_size": None,
}
CLIP_VIT_B32 = {
    "embed_dim": 512,
    "image_resolution": 224,
    "vision_layers": 12,
    "vision_width": 768,
    "vision_patch_size": 32,
}
LPIPS_CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
DISTS_CHANNELS = 3 + 64 + 128 + 256 + 512 + 512


def write_lpips(path: Path, trunk: str) -> None:
    import torch

    generator = torch.Generator().manual_seed(11)
    state = {  # calibrated weights are never negative
        f"lin{level}.model.1.weight": torch.rand(1, count, 1, 1, generator=generator) / count
        for level, count in enumerate(LPIPS_CHANNELS[trunk])
    }
    torch.save(state, path)


def write_dists(path: Path) -> None:
    import torch

    generator = torch.Generator().manual_seed(12)
    shape = (1, DISTS_CHANNELS, 1, 1)
    state = {name: torch.rand(shape, generator=generator) for name in ("alpha", "beta")}
    torch.save(state, path)


def write_torchvision(path: Path, name: str) -> None:
    import torch
    import torchvision

    state = _on_meta(lambda: torchvision.models.get_model(name, weights=None))
    torch.save(strided_state(state.items(), seed=13), path)


def write_inception(path: Path) -> None:
    import torch
    from pyiqa.archs import inception

    with mock.patch.object(inception, "load_pretrained_network"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The parameter 'pretrained' is deprecated", UserWarning)
        warnings.filterwarnings("ignore", "Arguments other than a weight enum", UserWarning)
        state = _on_meta(inception.fid_inception_v3)
    torch.save(strided_state(state.items(), seed=14), path)


def write_musiq(path: Path) -> None:
    import torch
    from pyiqa.archs.musiq_arch import MUSIQ

    # Of KonIQ-10k: one number a picture, not a distribution over ten.
    state = strided_state(_on_meta(lambda: MUSIQ(pretrained=False)).items(), seed=15)
    state["head.bias"] = torch.tensor([50.0])
    torch.save(state, path)


def write_maniqa(path: Path, *, seed: int) -> None:
    import torch
    from pyiqa.archs.maniqa_arch import MANIQA

    with untrained_timm():
        network = MANIQA(pretrained=False)  # timm's ViT cannot be built on "meta"
    parameters = dict(network.named_parameters())
    state = network.state_dict()  # its buffers are indices and masks that the shape decides
    state.update(strided_state(parameters.items(), seed=seed))
    state["fc_score.3.weight"] = state["fc_score.3.weight"] * 2**-16  # scores of about 1
    state["fc_score.3.bias"] = torch.tensor([0.5])  # its ReLU would hide what comes before
    torch.save(state, path)


def write_topiq(path: Path) -> None:
    import torch
    from pyiqa.archs.topiq_arch import CFANet

    def build() -> Any:
        return CFANet("resnet50", use_ref=False, pretrained=False, backbone_pretrain=False)

    torch.save({"params": strided_state(_on_meta(build).items(), seed=17)}, path)


def write_liqe(path: Path) -> None:
    import torch

    state = _clip_state(CLIP_VIT_B32, torch.float32, seed=18)
    torch.save({"params": {f"clip_model.{name}": one for name, one in state.items()}}, path)


def write_clip(path: Path, parts: dict[str, Any], *, seed: int) -> None:
    """A TorchScript archive in half precision, as OpenAI publishes them."""
    import torch

    state = _clip_state(parts, torch.float16, seed=seed)
    sizes = {
        "input_resolution": parts["image_resolution"],
        "context_length": CLIP_TEXT["context_length"],
        "vocab_size": CLIP_TEXT["vocab_size"],
    }
    state |= {name: torch.tensor(size) for name, size in sizes.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.*is (deprecated|not supported)")
        torch.jit.script(_holder(state)).save(str(path))


def _clip_state(parts: dict[str, Any], dtype: Any, *, seed: int) -> dict[str, Any]:
    import torch
    from pyiqa.archs.clip_model import CLIP

    state = _on_meta(lambda: CLIP(**parts, **CLIP_TEXT))
    made = strided_state(((name, one.to(dtype)) for name, one in state.items()), seed=seed)
    made["logit_scale"] = torch.tensor(math.log(100), dtype=dtype)
    return made


def _holder(state: dict[str, Any]) -> Any:
    """A module whose state dict is this one."""
    from torch import nn

    class Holder(nn.Module):
        pass

    below: dict[str, dict[str, Any]] = {}
    for name, tensor in state.items():
        head, _, rest = name.partition(".")
        if rest:
            below.setdefault(head, {})[rest] = tensor
    if below and all(head.isdecimal() for head in below):
        return nn.ModuleList(_holder(one) for one in below.values())
    holder = Holder()
    for head, one in below.items():
        holder.add_module(head, _holder(one))
    for name, tensor in state.items():
        if "." not in name:
            holder.register_buffer(name, tensor)
    return holder


def _on_meta(build: Callable[[], Any]) -> dict[str, Any]:
    """The state dict of a network, without numbers."""
    import torch

    with torch.device("meta"):
        state: dict[str, Any] = build().state_dict()
    return state


@contextmanager
def untrained_timm() -> Iterator[None]:
    """timm builds networks without fetching anything."""
    import timm

    create = timm.create_model

    def untrained(name: str, pretrained: bool = False, **options: Any) -> Any:
        return create(name, pretrained=False, **options)

    with mock.patch.object(timm, "create_model", untrained):
        yield


METRIC_FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "lpips": ("LPIPS_v0.1_alex-df73285e.pth", partial(write_lpips, trunk="alex")),
    "lpips-vgg": ("LPIPS_v0.1_vgg-a78928a0.pth", partial(write_lpips, trunk="vgg")),
    "dists": ("DISTS_weights-f5e65c96.pth", write_dists),
    "alexnet-imagenet": ("alexnet-owt-7be5be79.pth", partial(write_torchvision, name="alexnet")),
    "vgg16-imagenet": ("vgg16-397923af.pth", partial(write_torchvision, name="vgg16")),
    "fid-inception": ("pt_inception-2015-12-05-6726825d.pth", write_inception),
    "musiq": ("musiq_koniq_ckpt-e95806b9.pth", write_musiq),
    "clip-rn50": ("RN50.pt", partial(write_clip, parts=CLIP_RN50, seed=19)),
    "maniqa": ("ckpt_koniq10k.pt", partial(write_maniqa, seed=16)),
    "maniqa-pipal": ("MANIQA_PIPAL-ae6d356b.pth", partial(write_maniqa, seed=21)),
    "liqe": ("liqe_koniq.pt", write_liqe),
    "topiq-nr": ("cfanet_nr_koniq_res50-9a73138b.pth", write_topiq),
}
"""Name in the manifest -> name of the file, and what writes it."""
