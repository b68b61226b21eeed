"""Generated images for tests."""

import numpy as np
from PIL import Image


def synthetic_photo(seed: int, width: int, height: int) -> Image.Image:
    """Something with the low frequencies of a photograph, different for each seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
