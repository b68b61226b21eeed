"""Spatially varying blur: kernels at the nodes of a grid, mixed bilinearly between them.

The blurred pixel is Σ w(node)·(kernel(node) ⋆ image), where ``w`` is 1 at the node and falls to 0
at its neighbours. Each node's kernel is correlated with the part of the image that it counts in;
the weights sum to 1 everywhere, so that flat areas stay as they are.

The lens (Face2Scene, section 9.8, names the shape and no numbers) stands in for fields measured on
real lenses, which can be imported.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from inscene.degrade.arrays import FloatImage, Kernel
from inscene.degrade.blur import fill_beyond, weigh_rows, weigh_shifted
from inscene.degrade.compiled import compiled
from inscene.degrade.passes import BLOCK, Passes, Weights, decompose
from inscene.degrade.values import LensBlur


def lens_sigma(blur: LensBlur, u: float, v: float, size: tuple[int, int]) -> float:
    """σ in px at a place given as -1..1 over the width and the height of an image of this size."""
    rho, _ = _polar(blur, u, v, size)
    grown: float = rho**blur.gamma
    return blur.sigma_centre + (blur.sigma_edge - blur.sigma_centre) * grown


def _polar(blur: LensBlur, u: float, v: float, size: tuple[int, int]) -> tuple[float, float]:
    """Distance from the centre, 0..1 of the half diagonal, and azimuth; both in pixel metric."""
    height, width = size
    dx, dy = (u - blur.centre_u) * width, (v - blur.centre_v) * height
    return min(1.0, math.hypot(dx, dy) / math.hypot(width, height)), math.atan2(dy, dx)


def lens_kernels(blur: LensBlur, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The kernels at the nodes for an image of this size (height, width): G × G × k × k."""
    line = np.linspace(-1, 1, blur.grid)
    kernels = np.empty((blur.grid, blur.grid, blur.size, blur.size))
    for row, v in enumerate(line):
        for column, u in enumerate(line):
            kernels[row, column] = _lens_kernel(blur, float(u), float(v), size)
    return kernels


def _lens_kernel(blur: LensBlur, u: float, v: float, size: tuple[int, int]) -> Kernel:
    rho, phi = _polar(blur, u, v, size)
    sigma = lens_sigma(blur, u, v, size)
    stretch = math.sqrt(1 + (blur.stretch - 1) * rho)
    d = np.arange(blur.size, dtype=np.float64) - blur.size // 2
    x, y = d[None, :], d[:, None]
    radial, tangential = (
        math.cos(phi) * x + math.sin(phi) * y,
        math.cos(phi) * y - math.sin(phi) * x,
    )
    q = (radial * stretch / sigma) ** 2 + (tangential / (sigma * stretch)) ** 2
    values = np.exp(-0.5 * q)
    return np.asarray(values / values.sum())


def blur_varying(image: FloatImage, kernels: npt.NDArray[np.floating]) -> FloatImage:
    """The image, 3 × height × width, blurred by kernels at G × G nodes (G × G × k × k)."""
    height, width = image.shape[1:]
    row_weights = node_weights(height, kernels.shape[0])
    column_weights = node_weights(width, kernels.shape[1])
    blurred: FloatImage = np.zeros_like(image)
    for row, down in enumerate(row_weights):
        for column, right in enumerate(column_weights):
            passes = decompose(np.asarray(kernels[row, column], np.float64))
            _add_node(image, passes, down, right, blurred)
    return blurred


def node_weights(length: int, grid: int) -> npt.NDArray[np.float32]:
    """How much each node counts at each pixel of an axis, grid × length; the columns sum to 1.

    The first and last node lie on the outer edges of the first and last pixel.
    """
    position = (np.arange(length) + 0.5) / length * (grid - 1)
    distance = np.abs(position[None, :] - np.arange(grid)[:, None])
    weights: Weights = np.clip(1 - distance, 0, 1).astype(np.float32)
    return weights


def _add_node(
    image: FloatImage, passes: Passes, down: Weights, right: Weights, blurred: FloatImage
) -> None:
    rows, columns = np.flatnonzero(down), np.flatnonzero(right)
    if not len(rows) or not len(columns):  # fewer pixels than nodes
        return
    # A square kernel's columns of weights are unit vectors, which pick its rows one by one.
    _add_weighted(
        image,
        passes.columns,
        passes.rows,
        passes.width,
        (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1),
        down,
        right,
        blurred,
    )


@compiled
def _add_weighted(
    image: FloatImage,
    columns: Weights,
    rows: Weights,
    width: int,
    box: tuple[int, int, int, int],
    down: Weights,
    right: Weights,
    blurred: FloatImage,
) -> None:
    top, bottom, left, end = box
    reach, whole = width // 2, image.shape[2]
    # The part of the image that the pass along the rows looks at.
    first, last = max(0, left - reach), min(whole, end + reach)
    padded = np.zeros(end - left + 2 * reach + BLOCK + rows.shape[1], np.float32)
    inner = padded[first - left + reach : last - left + reach]
    line = np.empty(end - left, np.float32)
    for channel in range(image.shape[0]):
        for y in range(top, bottom):
            for r in range(len(columns)):
                weigh_rows(image[channel], y, columns[r], first, inner)
                fill_beyond(padded, left, end, reach, whole)
                weigh_shifted(padded, rows[r], r == 0, line)
            out = blurred[channel, y, left:end]
            for x in range(len(line)):
                out[x] += down[y] * right[left + x] * line[x]


def kernel_at(kernels: npt.NDArray[np.floating], u: float, v: float) -> Kernel:
    """The mixed kernel at a place given as -1..1 over the width and the height."""
    grid = kernels.shape[0]
    nodes = np.arange(grid)
    down = np.clip(1 - np.abs((v + 1) / 2 * (grid - 1) - nodes), 0, 1)
    right = np.clip(1 - np.abs((u + 1) / 2 * (grid - 1) - nodes), 0, 1)
    return np.asarray(np.einsum("r,c,rcij->ij", down, right, kernels), np.float64)
