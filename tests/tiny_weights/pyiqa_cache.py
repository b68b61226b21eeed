"""The cache folders in which pyiqa 0.1.16 itself looks for its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from tiny_weights.metrics import METRIC_FILES, untrained_timm

FOLDERS = {"clip": "clip", "vgg16": "checkpoints", "alexnet": "checkpoints"}


@contextmanager
def pyiqa_finds(weights: Path, cache: Path) -> Iterator[None]:
    """``create_metric`` finds the files of a folder of weights (NAME/file), linked from ``cache``.

    timm's trunks, which the metrics overwrite, are random each time.
    """
    import torch
    from pyiqa.archs import clip_model
    from pyiqa.utils import download_util

    from inscene.quality.networks import import_with_clip

    clips = {}
    for name, (file, _) in METRIC_FILES.items():
        source = weights / name / file
        folder = cache / FOLDERS.get(name.partition("-")[0], "pyiqa")
        folder.mkdir(exist_ok=True)
        (folder / file).symlink_to(source)
        if folder.name == "clip":  # pyiqa compares the hash with the last folder of the address
            sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
            model = {"RN50.pt": "RN50", "ViT-B-32.pt": "ViT-B/32"}[file]
            clips[model] = f"https://nowhere/{sha256}/{file}"
    own = str(cache / "pyiqa")
    with ExitStack() as stack:
        for module in (download_util, import_with_clip("pyiqa.archs.liqe_arch")):
            stack.enter_context(mock.patch.object(module, "DEFAULT_CACHE_DIR", own))
        stack.enter_context(mock.patch.object(torch.hub, "_hub_dir", str(cache)))
        stack.enter_context(mock.patch.dict(clip_model._MODELS, clips))
        stack.enter_context(untrained_timm())
        yield
