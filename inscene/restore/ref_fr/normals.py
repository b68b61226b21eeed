"""A field of random normals that is the same on every machine and with every NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inscene.degrade.philox import CHUNK, fill_normals


def normals(shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """Independent standard normals; ``seed`` has up to 64 bits."""
    count = int(np.prod(shape))
    chunks = -(-count // CHUNK)
    values = np.empty(chunks * CHUNK, np.float32)
    words = np.empty(CHUNK, np.uint32)
    for index in range(chunks):
        room = values[index * CHUNK : (index + 1) * CHUNK]
        fill_normals(np.uint64(seed), index, words, room)
    return values[:count].reshape(shape)
