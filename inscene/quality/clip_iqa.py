"""CLIP-IQA (Wang et al. 2023), as pyiqa 0.1.16 defines it (``clipiqa``): five pairs of opposite
prompts, CLIP RN50 without positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inscene.quality.learned import Learned
from inscene.quality.networks import Files, import_with_clip, load_clip, options_of, replaced

if TYPE_CHECKING:
    from torch import Tensor


class ClipIqa(Learned):
    key = "clipiqa"

    def _build(self, files: Files) -> Any:
        clipiqa_arch = import_with_clip("pyiqa.archs.clipiqa_arch")

        def load(name: str, device: str) -> Any:
            return load_clip(files.named(f"{name}.pt"))

        with replaced(clipiqa_arch, load=load):
            return clipiqa_arch.CLIPIQA(**options_of("clipiqa"))

    def _ready(self) -> None:
        (clip,) = self._network.clip_model  # in a list: no part of the network for `to`
        self._clip = clip.eval().to(self._device)
        # The prompts never change; pyiqa encodes them anew for each image, half of the time.
        self._text = self._clip.encode_text(self._network.prompt_pairs.to(self._device))
        self._mean = self._network.default_mean.to(self._device)
        self._std = self._network.default_std.to(self._device)

    def _measure(self, images: Tensor, prepared: Any) -> Tensor:
        logits, _ = self._clip((images - self._mean) / self._std, None, text_features=self._text)
        good_or_bad = logits.reshape(len(images), -1, 2).softmax(-1)
        scores: Tensor = good_or_bad[..., 0].mean(1)
        return scores
