"""An output brought to the wanted size, where the manifest asks for it."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from inscene.bench.methods.base import Image
from inscene.bench.methods.manifest import Resize


def fitted(image: Image, size: tuple[int, int], resize: Resize) -> Image:
    """``size`` is (width, height). With ``none`` the image stays as it is, whatever its size."""
    if resize == "none" or image.shape[1::-1] == size:
        return image
    # Pillow widens its kernel where it makes smaller; OpenCV's Lanczos would alias.
    resized: Image = np.array(Pillow.fromarray(image).resize(size, Pillow.Resampling.LANCZOS))
    return resized
