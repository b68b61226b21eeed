"""Random state dicts of a network's names and shapes whose tensors are views of a few small
storages: hundreds of megabytes in a network, a few in the file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

STORED = 1 << 16
"""Numbers in a storage; a tensor reads them with steps that overlap."""


def strided_state(tensors: Iterable[tuple[str, Any]], *, seed: int) -> dict[str, Any]:
    """Random numbers for each (name, tensor), of which only name, shape and kind count.

    Weights have the size that keeps what passes through them in scale; whole numbers become 0.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(STORED, generator=generator)
    near_one = torch.rand(STORED, generator=generator) * 0.2 + 0.9
    storages: dict[tuple[str, float, Any], Any] = {}

    def storage(kind: str, gain: float, dtype: Any) -> Any:
        made = (near_one if kind == "near one" else noise * gain).to(dtype)
        return storages.setdefault((kind, gain, dtype), made)

    state = {}
    for index, (name, tensor) in enumerate(tensors):
        shape, last = tuple(tensor.shape), name.rpartition(".")[2]
        if not tensor.is_floating_point():
            state[name] = torch.zeros(shape, dtype=tensor.dtype)
        elif not shape:
            state[name] = torch.tensor(1.0, dtype=tensor.dtype)
        elif len(shape) == 1 and last in ("weight", "running_var"):  # of a normalisation
            state[name] = storage("near one", 1.0, tensor.dtype)[index : index + shape[0]]
        elif len(shape) == 1:
            state[name] = storage("noise", 1 / 16, tensor.dtype)[index : index + shape[0]]
        else:
            # A power of two, so that few storages serve all layers.
            gain = 2.0 ** round(math.log2(math.sqrt(2 / math.prod(shape[1:]))))
            state[name] = _view(storage("noise", gain, tensor.dtype), shape, index)
    return state


def _view(storage: Any, shape: tuple[int, ...], index: int) -> Any:
    """Axes in steps of small primes, as far as the storage goes."""
    room = STORED // len(shape)
    primes = (61, 17, 7, 3, 1, 1)
    steps = [max(1, min(prime, room // size)) for size, prime in zip(shape, primes, strict=False)]
    reach = sum((size - 1) * step for size, step in zip(shape, steps, strict=True)) + 1
    return storage.as_strided(shape, steps, index * 13 % (STORED - reach + 1))
