"""Layers of a VAE over feature maps that are cut into tiles and put together again after each.

Exact: see :mod:`inscene.face2scene.vae_tiles` for why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Span = tuple[int, int]
"""First line and the one after the last."""
Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Moments:
    """Mean and variance of each channel over H×W, B×C in float32 or better; and of how many pixels
    they are."""

    mean: Tensor
    variance: Tensor
    pixels: int

    @classmethod
    def of(cls, tile: Tensor) -> _Moments:
        variance, mean = torch.var_mean(
            tile.to(torch.promote_types(tile.dtype, torch.float32)), (2, 3), correction=0
        )
        return cls(mean, variance, tile.shape[2] * tile.shape[3])

    @classmethod
    def merged(cls, tiles: Sequence[_Moments]) -> _Moments:
        pixels = sum(tile.pixels for tile in tiles)
        share = tiles[0].mean.new_tensor([tile.pixels / pixels for tile in tiles])
        mean, variance = _total(
            torch.stack([tile.mean for tile in tiles], dim=-1),
            torch.stack([tile.variance for tile in tiles], dim=-1),
            share,
        )
        return cls(mean, variance, pixels)

    def grouped(self, groups: int) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel's group, B×C."""
        batch, channels = self.mean.shape
        size = channels // groups
        mean, variance = _total(
            self.mean.reshape(batch, groups, size),
            self.variance.reshape(batch, groups, size),
            self.mean.new_full((size,), 1 / size),
        )
        return _spread(mean, size), _spread(variance, size)


def _total(means: Tensor, variances: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Law of total variance over the last axis: E[mean], E[var] + Var[mean]."""
    mean = (means * share).sum(-1)
    return mean, ((variances + (means - mean[..., None]) ** 2) * share).sum(-1)


def _spread(of_groups: Tensor, size: int) -> Tensor:
    return of_groups.repeat_interleave(size, dim=1)


@dataclass(frozen=True)
class Map:
    """A whole feature map, B×C×H×W."""

    data: Tensor
    moments: _Moments | None = None


@dataclass(frozen=True)
class _Reach:
    """Which lines of its input a span of a layer's output needs. Lines beyond the map are left to
    the layer, which pads with zeros there and only there."""

    needs: Callable[[int, int], Span]
    scale: float
    """Lines of output a line of input."""

    def clipped(self, span: Span, length: int) -> tuple[slice, slice]:
        """Of the input, and where in the output of those lines the span is."""
        first, last = self.needs(*span)
        first, last = max(0, first), min(length, last)
        begin = span[0] - int(first * self.scale)
        return slice(first, last), slice(begin, begin + span[1] - span[0])


_POINT = _Reach(lambda first, last: (first, last), 1)
_SAME = _Reach(lambda first, last: (first - 1, last + 1), 1)
# Stride 2, and diffusers adds the one line of zeros at the end, where the map has no more.
_HALVED = _Reach(lambda first, last: (2 * first, 2 * last + 1), 0.5)
# Each line is there twice before the convolution.
_DOUBLED = _Reach(lambda first, last: ((first - 1) // 2, last // 2 + 1), 2)


@dataclass(frozen=True)
class Run:
    """Layers over whole maps, tile by tile."""

    grid: tuple[int, int]
    """Rows and columns of tiles; the same at all levels, as are then the bytes of a tile's map but
    for its channels."""
    device: torch.device
    store: torch.device

    def pointwise(self, layer: Layer, source: Map) -> Map:
        return self._mapped(layer, source, _POINT)

    def same(self, layer: Layer, source: Map) -> Map:
        """A 3×3 convolution, and what comes before it pixel by pixel."""
        return self._mapped(layer, source, _SAME)

    def halved(self, layer: Layer, source: Map) -> Map:
        return self._mapped(layer, source, _HALVED)

    def doubled(self, layer: Layer, source: Map) -> Map:
        return self._mapped(layer, source, _DOUBLED)

    def head(self, network: Any, source: Map) -> Map:
        """The end of an encoder or a decoder."""
        normed = _normed(network.conv_norm_out, source, network.conv_act)
        return self.same(lambda tile: network.conv_out(normed(tile)), source)

    def resnets(self, block: Any, source: Map) -> Map:
        if hasattr(block, "attentions"):
            raise ValueError(f"{type(block).__name__} has attention, and only the middle block may")
        for resnet in block.resnets:
            source = self.resnet(resnet, source)
        return source

    def middle(self, block: Any, source: Map) -> Map:
        source = self.resnet(block.resnets[0], source)
        for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
            if attention is not None:
                whole: Tensor = attention(source.data.to(self.device))
                source = Map(whole.to(self.store), _Moments.of(whole))
            source = self.resnet(resnet, source)
        return source

    def resnet(self, block: Any, source: Map) -> Map:
        normed = _normed(block.norm1, source, block.nonlinearity)
        hidden = self.same(lambda tile: block.conv1(normed(tile)), source)
        again = _normed(block.norm2, hidden, block.nonlinearity)
        beside = block.conv_shortcut if block.conv_shortcut is not None else nn.Identity()

        def tile(rows: Span, columns: Span) -> Tensor:
            skipped = self._tile(beside, source, _POINT, rows, columns)
            changed = self._tile(
                lambda part: block.conv2(block.dropout(again(part))), hidden, _SAME, rows, columns
            )
            total: Tensor = (skipped + changed) / block.output_scale_factor
            return total

        # A tile needs no neighbours of the input: it may be written where it was read.
        return self._assembled(tile, hidden.data.shape[-2:], over=source.data)

    def _mapped(self, layer: Layer, source: Map, reach: _Reach) -> Map:
        height, width = source.data.shape[-2:]
        size = (int(height * reach.scale), int(width * reach.scale))
        return self._assembled(
            lambda rows, columns: self._tile(layer, source, reach, rows, columns), size
        )

    def _tile(self, layer: Layer, source: Map, reach: _Reach, rows: Span, columns: Span) -> Tensor:
        height, width = source.data.shape[-2:]
        read_rows, kept_rows = reach.clipped(rows, height)
        read_columns, kept_columns = reach.clipped(columns, width)
        window = source.data[..., read_rows, read_columns].to(self.device)
        return layer(window)[..., kept_rows, kept_columns]

    def _assembled(
        self, tile: Callable[[Span, Span], Tensor], size: Sequence[int], over: Tensor | None = None
    ) -> Map:
        """A map of ``size`` from its tiles, written over another where that has enough channels."""
        data: Tensor | None = None
        moments: list[_Moments] = []
        for rows in _spans(size[0], self.grid[0]):
            for columns in _spans(size[1], self.grid[1]):
                part = tile(rows, columns)
                if not moments:
                    data = self._room(part, size, over)
                assert data is not None
                data[..., slice(*rows), slice(*columns)] = part
                moments.append(_Moments.of(part))
        assert data is not None
        return Map(data, _Moments.merged(moments))

    def _room(self, part: Tensor, size: Sequence[int], over: Tensor | None) -> Tensor:
        batch, channels = part.shape[:2]
        if over is not None and over.shape[1] >= channels:
            return over[:, :channels]
        return torch.empty((batch, channels, *size), dtype=part.dtype, device=self.store)


def _normed(norm: nn.GroupNorm, source: Map, activation: Layer) -> Layer:
    """Group norm with the statistics of the whole map, then the activation, of a tile."""
    assert source.moments is not None
    mean, variance = source.moments.grouped(norm.num_groups)
    batch = len(mean)
    weight, bias = (part.to(mean.dtype).repeat(batch) for part in (norm.weight, norm.bias))

    def apply(tile: Tensor) -> Tensor:
        # A batch norm that is given its statistics is this in one pass; a sample's channels are
        # channels of one sample to it, since each sample has statistics of its own.
        flat = tile.reshape(1, -1, *tile.shape[2:])
        normed = functional.batch_norm(
            flat, mean.flatten(), variance.flatten(), weight, bias, eps=norm.eps
        )
        return activation(normed.reshape(tile.shape))

    return apply


def _spans(length: int, count: int) -> list[Span]:
    """``count`` spans of nearly one length that follow each other; fewer where some were empty."""
    count = min(count, length)
    edges = [length * index // count for index in range(count + 1)]
    return list(pairwise(edges))
