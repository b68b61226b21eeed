"""Both files of LPIPS on VGG-16, in a folder."""

from __future__ import annotations

from pathlib import Path

from tiny_weights.metrics import METRIC_FILES


def write_lpips_vgg(folder: Path) -> tuple[Path, Path]:
    """The linear weights and the trunk."""
    paths = []
    for name in ("lpips-vgg", "vgg16-imagenet"):
        file, write = METRIC_FILES[name]
        write(folder / file)
        paths.append(folder / file)
    weights, trunk = paths
    return weights, trunk
