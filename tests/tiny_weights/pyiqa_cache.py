"""The cache folders in which pyiqa 0.1.16 itself looks for its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from tiny_weights.metrics import CLIP_VIT_B32, METRIC_FILES, untrained_timm, write_clip

FOLDERS = {"clip": "clip", "vgg16": "checkpoints", "alexnet": "checkpoints"}


@contextmanager
def pyiqa_finds(weights: Path, cache: Path) -> Iterator[None]:
    """``create_metric`` finds the files of a folder of weights (NAME/file), linked from ``cache``.

    The trunks that metrics overwrite, timm's and LIQE's CLIP, have random numbers of their own.
    """
    import torch
    from pyiqa.archs import clip_model
    from pyiqa.utils import download_util

    from inscene.quality.networks import import_with_clip

    for name, (file, _) in METRIC_FILES.items():
        folder = cache / FOLDERS.get(name.partition("-")[0], "pyiqa")
        folder.mkdir(exist_ok=True)
        (folder / file).symlink_to(weights / name / file)
    write_clip(cache / "clip" / "ViT-B-32.pt", CLIP_VIT_B32, seed=20)
    # It compares a file's hash with the last folder of its address.
    clips = {
        name: f"https://nowhere/{hashlib.sha256(path.read_bytes()).hexdigest()}/{path.name}"
        for name, path in {
            "RN50": cache / "clip" / "RN50.pt",
            "ViT-B/32": cache / "clip" / "ViT-B-32.pt",
        }.items()
    }
    own = str(cache / "pyiqa")
    with ExitStack() as stack:
        for module in (download_util, import_with_clip("pyiqa.archs.liqe_arch")):
            stack.enter_context(mock.patch.object(module, "DEFAULT_CACHE_DIR", own))
        stack.enter_context(mock.patch.object(torch.hub, "_hub_dir", str(cache)))
        stack.enter_context(mock.patch.dict(clip_model._MODELS, clips))
        stack.enter_context(untrained_timm())
        yield
