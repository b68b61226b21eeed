"""The degradation chain in torch operations, as Real-ESRGAN runs it.

What it shares with the original, and what it costs: kernels padded to 21 × 21, a convolution with a
unit pulse where no sinc is drawn, a first resize by scale and not by size, Poisson levels from the
number of distinct values, JPEG in float arithmetic with tables of its own layout. The original also
makes the coloured noise field where a gray one is used; this one does not, so it is no slower.

There are two ways to convolve channels with a kernel: each as an image of its own, which the
original takes for a single image, and all as groups of one image, which it takes for a batch and
which is the cheaper one. A batch of the original shares scale, noise kind and order, which is why
it is not what the engine makes; its cost is measured with copies of one image.
"""

from __future__ import annotations

import math
from collections import Counter

import degrade_plain
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from inscene.degrade import Operator
from inscene.degrade.values import GaussianNoise, PoissonNoise

ByteImage = npt.NDArray[np.uint8]
Tensor = torch.Tensor
"""Images are n × 3 × height × width, float32 with white at 1."""

KERNEL_SIDE = 21  # px, of every kernel after padding
LUMA = (0.2989, 0.587, 0.114)

STEPS = {
    "kernel": ["kernel"],
    "blur": ["blur"],
    "resize": ["resize"],
    "gaussian": ["gaussian"],
    "poisson": ["poisson"],
    "jpeg": ["jpeg"],
}
"""This module's functions by the step that they are."""

levels_taken: Counter[int] = Counter()
"""How often :func:`poisson` has come to each number of levels."""


def degrade(image: ByteImage, operator: Operator, noise_seed: int) -> ByteImage:
    """The LQ of an RGB image, uint8 height × width × 3; no sharpening before."""
    return _degrade(image, operator, noise_seed, grouped=False)


def degrade_grouped(image: ByteImage, operator: Operator, noise_seed: int) -> ByteImage:
    """As :func:`degrade`, by the cheaper convolution."""
    return _degrade(image, operator, noise_seed, grouped=True)


BATCH = 8


def degrade_batch(image: ByteImage, operator: Operator, noise_seed: int) -> ByteImage:
    """:data:`BATCH` copies of the image at once; the LQ of the first."""
    return _degrade(image, operator, noise_seed, grouped=True, copies=BATCH)


@torch.inference_mode()
def _degrade(
    image: ByteImage, operator: Operator, noise_seed: int, *, grouped: bool, copies: int = 1
) -> ByteImage:
    if operator.usm:
        raise ValueError("the torch chain does not sharpen: draw operators with usm off")
    height, width = image.shape[:2]
    rng = torch.Generator().manual_seed(noise_seed)
    first, second, final = operator.first, operator.second, operator.final

    x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float() / 255
    x = x.repeat(copies, 1, 1, 1)
    if first.blur is not None:
        x = blur(x, kernel(first.blur), grouped)
    x = resize(x, first.resize.filter, scale=first.resize.scale)
    for noise in first.noise:
        x = add_noise(x, noise, rng)
    x = jpeg(x.clamp(0, 1), first.jpeg.quality)

    lq_size = (height // operator.sf, width // operator.sf)
    if second is not None:
        if second.blur is not None:
            x = blur(x, kernel(second.blur), grouped)
        scale = second.resize.scale
        size = (int(height / operator.sf * scale), int(width / operator.sf * scale))
        x = resize(x, second.resize.filter, size=size)
        for noise in second.noise:
            x = add_noise(x, noise, rng)
        if final.order == "jpeg_resize_sinc":
            x = jpeg(x.clamp(0, 1), second.jpeg.quality)
    x = resize(x, final.filter, size=lq_size)
    x = blur(x, kernel(final.sinc), grouped)
    if second is not None and final.order == "resize_sinc_jpeg":
        x = jpeg(x.clamp(0, 1), second.jpeg.quality)
    lq = (x.clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(lq[0].numpy().transpose(1, 2, 0))


def kernel(blur: object) -> Tensor:
    """Zeros around the drawn kernel, or around a pulse where none is drawn."""
    weights = np.ones((1, 1), np.float32) if blur is None else degrade_plain.kernel(blur)
    margin = (KERNEL_SIDE - len(weights)) // 2
    return torch.from_numpy(np.pad(weights, margin))


def blur(x: Tensor, weights: Tensor, grouped: bool) -> Tensor:
    padded = functional.pad(x, (KERNEL_SIDE // 2,) * 4, mode="reflect")
    planes = x.shape[0] * x.shape[1]
    if grouped:
        as_one = padded.reshape(1, planes, *padded.shape[2:])
        blurred = functional.conv2d(as_one, weights.repeat(planes, 1, 1, 1), groups=planes)
    else:
        each = padded.reshape(planes, 1, *padded.shape[2:])
        blurred = functional.conv2d(each, weights[None, None])
    return blurred.reshape(x.shape)


def resize(
    x: Tensor, filter: str, *, scale: float | None = None, size: tuple[int, int] | None = None
) -> Tensor:
    """By a scale, where samples step by its inverse, or to a size, (height, width) in px."""
    return functional.interpolate(x, size=size, scale_factor=scale, mode=filter)


def add_noise(x: Tensor, noise: GaussianNoise | PoissonNoise, rng: torch.Generator) -> Tensor:
    field = gaussian(x, noise, rng) if isinstance(noise, GaussianNoise) else poisson(x, noise, rng)
    return (x + field).clamp(0, 1)


def gaussian(x: Tensor, noise: GaussianNoise, rng: torch.Generator) -> Tensor:
    shape = (len(x), 1, *x.shape[2:]) if noise.gray else x.shape
    return torch.randn(shape, generator=rng) * (noise.sigma / 255)


def poisson(x: Tensor, noise: PoissonNoise, rng: torch.Generator) -> Tensor:
    """Mean counts at white: the next power of two above the number of distinct values.

    The operator's ``levels`` are not looked at.
    """
    clean = (x * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True) if noise.gray else x
    clean = (clean * 255).round().clamp(0, 255) / 255
    each = [2 ** math.ceil(math.log2(len(torch.unique(image)))) for image in clean]
    levels_taken.update(each)
    levels = torch.tensor(each)[:, None, None, None]
    counts: Tensor = torch.poisson(clean * levels, generator=rng)
    return (counts / levels - clean) * noise.scale


# --- JPEG: the codec's losses without its coding, in float and at a real-valued quality ----------

# ITU-T T.81, tables K.1 and K.2. The original has K.1 transposed.
LUMINANCE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float32,
).T
CHROMINANCE = torch.full((8, 8), 99.0)
CHROMINANCE[:4, :4] = torch.tensor(
    [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
)
TO_YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
TO_RGB = torch.tensor([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])


def _dct_of_a_block() -> Tensor:
    """The 64 × 64 orthonormal matrix of the 8 × 8 DCT; both indices run over rows first."""
    frequency = torch.arange(8, dtype=torch.float64)[:, None]
    position = torch.arange(8, dtype=torch.float64)[None, :]
    line = torch.cos((2 * position + 1) * frequency * math.pi / 16) / 2
    line[0] /= math.sqrt(2)
    return torch.kron(line, line).float()


DCT = _dct_of_a_block()


def jpeg(x: Tensor, quality: float) -> Tensor:
    """What is left of an image in 0..1 at a quality of 1..100."""
    height, width = x.shape[2:]
    padded = functional.pad(x, (0, -width % 16, 0, -height % 16)) * 255
    ycbcr = torch.einsum("dc,nchw->ndhw", TO_YCBCR, padded)
    luma, chroma = ycbcr[:, :1] - 128, functional.avg_pool2d(ycbcr[:, 1:], 2)

    luma = _quantised(luma, _steps(LUMINANCE, quality)) + 128
    chroma = _quantised(chroma, _steps(CHROMINANCE, quality))
    chroma = chroma.repeat_interleave(2, 2).repeat_interleave(2, 3)
    rgb = torch.einsum("dc,nchw->ndhw", TO_RGB, torch.cat([luma, chroma], 1))
    return rgb[..., :height, :width].clamp(0, 255) / 255


def _steps(table: Tensor, quality: float) -> Tensor:
    if quality >= 100:
        return torch.ones_like(table)  # the original divides 0 by 0 there
    return table * (50 / quality if quality < 50 else 2 - quality / 50)


def _quantised(planes: Tensor, steps: Tensor) -> Tensor:
    n, channels, height, width = planes.shape
    split = (n, channels, height // 8, 8, width // 8, 8)
    blocks = planes.reshape(split).permute(0, 1, 2, 4, 3, 5).reshape(-1, 64)
    coefficients = torch.round(blocks @ DCT.T / steps.flatten()) * steps.flatten()
    blocks = (coefficients @ DCT).reshape(n, channels, height // 8, width // 8, 8, 8)
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(planes.shape)
