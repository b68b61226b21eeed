"""Metrics that are networks: those of pyiqa 0.1.16, in float32, on the GPU where there is one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from inscene.errors import SampleError
from inscene.quality.available import why_unavailable
from inscene.quality.inputs import check_image, check_pair
from inscene.quality.networks import (
    Files,
    best_device,
    building,
    options_of,
    replaced,
)
from inscene.quality.registry import ByteImage, find_metric

if TYPE_CHECKING:
    from torch import Tensor


class Learned(ABC):
    """A metric whose network is loaded when it is made.

    Raises ``MachineError`` for weights or packages that are not here, before anything large is
    imported, and for files that are not what pyiqa loads.
    """

    key: ClassVar[str]
    min_side_px: ClassVar[int] = 32
    """Its network halves an image five times."""

    def __init__(self) -> None:
        files = verified_files(self.key)
        self._device = best_device()
        with building():
            network = self._build(files)
            self._network = network.eval().requires_grad_(False).to(self._device)
            self._ready()

    def __call__(
        self, images: Sequence[ByteImage], references: Sequence[ByteImage] = ()
    ) -> list[float]:
        for pair in zip(images, references, strict=True) if references else ():
            check_pair(*pair)
        with evaluating():
            batch = as_tensor(images, self._device)
            self.check_size(batch)
            prepared = self.prepare(as_tensor(references, self._device)) if references else None
            return self.scores(batch, prepared)

    def scores(self, images: Tensor, prepared: Any) -> list[float]:
        """Of images on its device that are large enough, against what :meth:`prepare` gave."""
        scores: list[float] = self._measure(images, prepared).flatten().tolist()
        return scores

    def check_size(self, images: Tensor) -> None:
        """Raise ``SampleError`` where they are too small for the network."""
        height, width = images.shape[2:]
        if min(height, width) < self.min_side_px:
            raise SampleError(
                "image_too_small", f"{width}x{height}, {self.min_side_px} px a side are needed"
            )

    def prepare(self, references: Tensor) -> Any:
        """What serves every comparison with these references: as many as images, or one for all of
        them. A metric without reference needs nothing."""
        return None

    @abstractmethod
    def _build(self, files: Files) -> Any:
        """The network, on the CPU."""

    def _ready(self) -> None:  # noqa: B027
        """What can be done once, with the network on its device."""

    @abstractmethod
    def _measure(self, images: Tensor, prepared: Any) -> Tensor:
        """A score each for images (n, 3, height, width) in 0..1."""


def verified_files(key: str) -> Files:
    """Raises ``MachineError`` where weights or packages of a metric are missing: of its weights the
    own one first, which brings the others when it is pulled."""
    metric = find_metric(key)
    files = Files(metric.weights)
    if (error := why_unavailable(metric)) is not None:
        raise error
    return files


@contextmanager
def evaluating() -> Iterator[None]:
    """No gradients, and the same numbers each time: float32 that is not rounded to TF32."""
    import torch

    with (
        torch.no_grad(),
        torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ),
    ):
        yield


def as_tensor(images: Sequence[ByteImage], device: str) -> Tensor:
    """Images of one size as (n, 3, height, width) in 0..1. Raises ``SampleError``."""
    import torch

    for image in images:
        check_image(image)
    pixels = torch.from_numpy(np.stack(images)).to(device)
    return pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format) / 255


class Musiq(Learned):
    """MUSIQ, trained on KonIQ-10k (``musiq``)."""

    key = "musiq"

    def _build(self, files: Files) -> Any:
        from pyiqa.archs import musiq_arch

        with replaced(musiq_arch, load_pretrained_network=files.load_into):
            return musiq_arch.MUSIQ(**options_of("musiq"))

    def _measure(self, images: Tensor, prepared: Any) -> Tensor:
        scores: Tensor = self._network(images)
        return scores


class TopiqNr(Learned):
    """TOPIQ without reference, on ResNet-50, trained on KonIQ-10k (``topiq_nr``)."""

    key = "topiq_nr"

    def _build(self, files: Files) -> Any:
        from pyiqa.archs import topiq_arch

        # Its checkpoint, strictly loaded, has the trunk too: timm's is not needed.
        with replaced(topiq_arch, load_pretrained_network=files.load_into):
            return topiq_arch.CFANet(**options_of("topiq_nr"), backbone_pretrain=False)

    def _measure(self, images: Tensor, prepared: Any) -> Tensor:
        scores: Tensor = self._network(images)
        return scores
