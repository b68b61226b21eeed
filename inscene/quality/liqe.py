"""LIQE (Zhang et al. 2023), as pyiqa 0.1.16 defines it (``liqe``: KonIQ-10k, CLIP ViT-B/32)."""

from __future__ import annotations

import contextlib
import io
import tempfile
from typing import TYPE_CHECKING, Any

from inscene.quality.learned import Learned
from inscene.quality.networks import Files, import_with_clip, options_of, replaced

if TYPE_CHECKING:
    from torch import Tensor

SIDE_PX = 224

VIT_B32 = {
    "embed_dim": 512,
    "image_resolution": SIDE_PX,
    "vision_layers": 12,
    "vision_width": 768,
    "vision_patch_size": 32,
    "context_length": 77,
    "vocab_size": 49408,
    "transformer_width": 512,
    "transformer_heads": 8,
    "transformer_layers": 12,
}
"""The shape of OpenAI's ViT-B/32."""


class Liqe(Learned):
    """The mean over 15 windows, with which pyiqa never reaches the bottom of an image."""

    key = "liqe"
    min_side_px = SIDE_PX

    def _build(self, files: Files) -> Any:
        liqe_arch = import_with_clip("pyiqa.archs.liqe_arch")

        def untrained_clip(name: str, device: str) -> Any:
            from pyiqa.archs.clip_model import CLIP

            return CLIP(
                **VIT_B32
            )  # all of it is in LIQE's own checkpoint, which is loaded strictly

        # Text features that an earlier run has cached may be those of other weights.
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.redirect_stdout(io.StringIO()),
            replaced(
                liqe_arch,
                load_pretrained_network=files.load_into,
                load=untrained_clip,
                DEFAULT_CACHE_DIR=folder,
            ),
        ):
            return liqe_arch.LIQE(**options_of("liqe"))

    def _ready(self) -> None:
        self._text = self._network.text_features.to(self._device)
        self._mean = self._network.default_mean.to(self._device)
        self._std = self._network.default_std.to(self._device)

    def _measure(self, images: Tensor, prepared: Any) -> Tensor:
        import torch

        network = self._network
        windows = self._windows((images - self._mean) / self._std)
        image = network.clip_model.encode_image(windows.flatten(0, 1), pos_embedding=True)
        image = image / image.norm(dim=1, keepdim=True)
        logits = network.clip_model.logit_scale.exp() * image @ self._text.t()
        quality = logits.unflatten(0, windows.shape[:2]).mean(1).softmax(1)
        grades = torch.arange(1, 1 + quality.shape[1], device=quality.device)
        scores: Tensor = (quality * grades).sum(1)
        return scores

    def _windows(self, images: Tensor) -> Tensor:
        """(n, windows, 3, 224, 224). pyiqa copies all that there are, 0.4 GB of a megapixel, and
        then takes these."""
        import torch

        step_px = self._network.step
        rows, columns = (1 + (side_px - SIDE_PX) // step_px for side_px in images.shape[2:])
        count = min(self._network.num_patch, rows * columns)
        stride = rows * columns // count
        places = [divmod(index * stride, columns) for index in range(count)]
        windows = [
            images[..., top : top + SIDE_PX, left : left + SIDE_PX]
            for top, left in ((row * step_px, column * step_px) for row, column in places)
        ]
        return torch.stack(windows, dim=1)
