"""An output brought to the wanted size, where the manifest asks for it."""

from __future__ import annotations

from typing import Literal, cast

from inscene.bench.methods.base import Image


def fitted(image: Image, size: tuple[int, int], resize: Literal["lanczos", "none"]) -> Image:
    """``size`` is (width, height). With ``none`` the image stays as it is, whatever its size."""
    if resize == "none" or image.shape[1::-1] == size:
        return image
    # Pillow's, which widens its kernel when it makes smaller; OpenCV's would alias.
    import numpy as np
    from PIL import Image as Pillow

    resized = Pillow.fromarray(image).resize(size, Pillow.Resampling.LANCZOS)
    return cast(Image, np.array(resized))
