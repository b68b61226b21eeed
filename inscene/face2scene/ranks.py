"""What the workers (ranks) of one training exchange, where ``torch.distributed`` has been begun
with more than one of them. Everywhere else all of this does nothing.

All ranks must call the same functions in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

BUCKET_VALUES = 16 * 2**20
"""[chosen] Gradients that travel together: enough for the link, little beside the model."""


def count() -> int:
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def rank() -> int:
    return distributed.get_rank() if count() > 1 else 0


def total(tensor: Tensor) -> Tensor:
    """The sum over all ranks, on each of them. Gradients pass, of all ranks' losses."""
    if count() == 1:
        return tensor
    summed: Tensor = _Total.apply(tensor)
    return summed


def gathered(rows: Tensor) -> Tensor:
    """The rows of all ranks, in the order of ranks, on each of them; they may have different
    numbers of rows. Gradients pass, as in :func:`total`."""
    if count() == 1:
        return rows
    sizes = torch.zeros(count(), dtype=torch.int64, device=rows.device)
    sizes[rank()] = len(rows)
    found = total(sizes).tolist()
    start = sum(found[: rank()])
    before = rows.new_zeros(start, *rows.shape[1:])
    after = rows.new_zeros(sum(found) - start - len(rows), *rows.shape[1:])
    return total(torch.cat([before, rows, after]))


def mean_count(here: int) -> float:
    """What each rank has of something, on average: what sums are to be divided by for their mean
    over the ranks to be the mean over all."""
    return here if count() == 1 else sum_of(here) / count()


def sum_of(here: float) -> float:
    return here if count() == 1 else total(_tensor(here)).item()


def said(flag: bool) -> bool:
    """What the first rank says."""
    return bool(number(int(flag)))


def number(here: int) -> int:
    """The first rank's."""
    if count() == 1:
        return here
    told = _tensor(here)
    distributed.broadcast(told, 0)
    return int(told.item())


def average(tensor: Tensor) -> Tensor:
    """The mean over all ranks; no gradients pass."""
    return tensor if count() == 1 else total(tensor.detach()) / count()


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """In place. A parameter that some ranks have not used has a gradient of zero there; one that
    none has used keeps none."""
    if count() == 1 or not parameters:
        return
    used = total(_tensor([float(one.grad is not None) for one in parameters])).tolist()
    some = [one for one, ranks in zip(parameters, used, strict=True) if ranks]
    for one in some:
        if one.grad is None:
            one.grad = torch.zeros_like(one)
    for bucket in _buckets([one.grad for one in some if one.grad is not None]):
        flat = torch.cat([one.reshape(-1) for one in bucket])
        distributed.all_reduce(flat)
        flat /= count()
        parts = torch.split(flat, [each.numel() for each in bucket])
        for gradient, part in zip(bucket, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def same_buffers(module: nn.Module) -> None:
    """Those of the first rank, in place: spectral norms change theirs in each pass."""
    if count() > 1:
        for one in module.buffers():
            distributed.broadcast(one, 0)


class JointBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics are those of all ranks' images: else they would tell which images
    share a rank. As ``nn.SyncBatchNorm``, which does not work on CPUs."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or count() == 1:
            return super().forward(input)
        pixels = input.shape[2] * input.shape[3]
        values = sum_of(len(input) * pixels)
        mean = total(input.sum((0, 2, 3))) / values
        centred = input - mean[:, None, None]
        variance = total(centred.square().sum((0, 2, 3))) / values
        self._remember(mean.detach(), variance.detach() * (values / (values - 1)))
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        normed = centred * scale[:, None, None]
        return normed if self.bias is None else normed + self.bias[:, None, None]

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        assert self.momentum is not None
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var), self.momentum)


def join_batch_norms(module: nn.Module) -> None:
    """In place: each batch norm becomes a joint one with the same parameters and buffers. Without
    other ranks nothing changes."""
    if count() > 1:
        for one in module.modules():
            if type(one) is nn.BatchNorm2d:
                one.__class__ = JointBatchNorm2d


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        summed = tensor.detach().clone().contiguous()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        summed = gradient.clone().contiguous()
        distributed.all_reduce(summed)
        return summed


def _tensor(values: Any) -> Tensor:
    """Where the ranks' link can read it."""
    device = "cuda" if "nccl" in distributed.get_backend() else "cpu"
    # Counts of values are beyond what float32 tells apart.
    return torch.tensor(values, dtype=torch.float64, device=device)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Of one type each."""
    for dtype in dict.fromkeys(one.dtype for one in tensors):
        bucket: list[Tensor] = []
        for one in (each for each in tensors if each.dtype == dtype):
            if bucket and sum(each.numel() for each in bucket) + one.numel() > BUCKET_VALUES:
                yield bucket
                bucket = []
            bucket.append(one)
        if bucket:
            yield bucket
