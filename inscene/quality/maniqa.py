"""MANIQA (Yang et al. 2022), as pyiqa 0.1.16 defines it: the mean over 20 crops of 224 px."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from inscene.quality.learned import Learned
from inscene.quality.networks import Files, options_of, replaced, untrained_timm

if TYPE_CHECKING:
    from torch import Tensor

LAST_BLOCK_USED = 9
"""Of the ViT's blocks 0..11, MANIQA looks at the output of 6..9."""


class Maniqa(Learned):
    """Trained on KonIQ-10k (``maniqa``)."""

    key = "maniqa"
    _pyiqa_name: ClassVar[str] = "maniqa"

    def _build(self, files: Files) -> Any:
        from pyiqa.archs import maniqa_arch

        with replaced(maniqa_arch, load_pretrained_network=files.load_into, timm=untrained_timm()):
            network = maniqa_arch.MANIQA(**options_of(self._pyiqa_name))
        del network.vit.blocks[LAST_BLOCK_USED + 1 :]
        return network

    def _measure(self, images: Tensor, prepared: Any) -> Tensor:
        """One by one: the crops of an image are a batch."""
        import torch

        try:
            return torch.cat([self._network(image[None]) for image in images])
        finally:
            # Its hooks append to a list that it empties after a whole pass only: after an exception
            # the next image would be given this one's features.
            self._network.save_output.clear()


class ManiqaPipal(Maniqa):
    """Trained on PIPAL (``maniqa-pipal``): another scale of values, under the same name in some
    papers."""

    key = "maniqa_pipal"
    _pyiqa_name = "maniqa-pipal"
