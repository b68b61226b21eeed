"""The features of which FID compares the distribution: Inception v3 as TensorFlow had it in 2015.

pyiqa 0.1.16's ``fid`` in its mode ``clean`` (Parmar et al. 2022): each image is resized to 299 x
299, channel by channel in floating point, by an anti-aliased bicubic filter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inscene.quality.inputs import check_image
from inscene.quality.learned import evaluating, verified_files
from inscene.quality.networks import Files, best_device, building, replaced
from inscene.quality.registry import ByteImage

SIDE_PX = 299
FEATURES = 2048


class InceptionFeatures:
    """Of each image 2,048 float32 numbers; images may differ in size. Raises as
    :class:`inscene.quality.learned.Learned`."""

    def __init__(self) -> None:
        files = verified_files("fid")
        self._device = best_device()
        with building():
            self._network = _inception(files).eval().to(self._device)

    def __call__(
        self, images: Sequence[ByteImage], references: Sequence[ByteImage] = ()
    ) -> list[NDArray[np.float32]]:
        """Raises ``SampleError`` for an image that is not 8-bit RGB."""
        import torch

        planes = np.stack([_resized(image) for image in images])
        with evaluating():
            batch = (torch.from_numpy(planes).to(self._device) - 128) / 128
            (pooled,) = self._network(batch)
            return list(pooled.flatten(1).cpu().numpy())


def _inception(files: Files) -> Any:
    from pyiqa.archs import inception

    with replaced(inception, load_pretrained_network=files.load_into), warnings.catch_warnings():
        # torchvision, of the way in which pyiqa asks it for a network without weights.
        warnings.filterwarnings("ignore", "The parameter 'pretrained' is deprecated")
        warnings.filterwarnings("ignore", "Arguments other than a weight enum")
        return inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[FEATURES]])


def _resized(image: ByteImage) -> NDArray[np.float32]:
    """(3, 299, 299) in 0..255."""
    check_image(image)
    planes = [
        np.asarray(
            Image.fromarray(image[..., channel].astype(np.float32)).resize(
                (SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC
            )
        )
        for channel in range(3)
    ]
    return np.stack(planes).clip(0, 255)
