"""Between images of pixels (height × width × 3) and the planes that degrading works on."""

from __future__ import annotations

from typing import Any

import numpy as np


def planes(image: Any) -> Any:
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)


def pixels(image: Any) -> Any:
    return np.ascontiguousarray(image.transpose(1, 2, 0))
