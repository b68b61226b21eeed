"""recognition_arcface_ir_se50.pth with random weights: the names and shapes of the official file,
whose 175 MB are views of one small storage here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

STORED = 1 << 16
"""Numbers in the file; a tensor reads them with steps that overlap."""


def write_ir_se50(path: Path) -> None:
    import torch
    from facexlib.recognition.arcface_arch import Backbone

    with torch.device("meta"):
        shapes = {
            name: tensor.shape for name, tensor in Backbone(50, 0.6, "ir_se").state_dict().items()
        }
    generator = torch.Generator().manual_seed(50)
    noise = torch.randn(STORED, generator=generator)
    positive = torch.rand(STORED, generator=generator) * 0.2 + 0.9
    scaled: dict[float, Any] = {}
    state = {}
    for index, (name, shape) in enumerate(shapes.items()):
        if not shape:
            state[name] = torch.tensor(0)  # num_batches_tracked
        elif len(shape) == 1:
            one = name.endswith("running_var") or not name.endswith(("bias", "running_mean"))
            state[name] = (positive if one else noise * 0.05)[index : index + shape[0]].clone()
        else:
            # A power of two, so that few storages serve all layers.
            gain = 2.0 ** round(math.log2(math.sqrt(1 / math.prod(shape[1:]))))
            storage = scaled.setdefault(gain, noise * gain)
            state[name] = _view(storage, shape)
    torch.save(state, path)


def _view(storage: Any, shape: Any) -> Any:
    """Axes in steps of small primes, as far as the storage goes."""
    steps = [
        max(1, min(prime, (STORED // len(shape)) // size))
        for size, prime in zip(shape, (61, 17, 7, 3), strict=False)
    ]
    return storage.as_strided(shape, steps)
