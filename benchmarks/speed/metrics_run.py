"""One implementation of metrics.py, in a process of its own: prints its times and values as JSON.

python metrics_run.py plain|one\\ pass eight|fid FOLDER
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

EIGHT = ("dists", "lpips", "psnr", "ssim", "musiq", "clipiqa", "liqe", "topiq_nr")
LUMA = {"test_y_channel": True, "color_space": "ycbcr"}
PYIQA_OPTIONS: dict[str, dict[str, Any]] = {"psnr": LUMA, "ssim": LUMA}

Values = dict[str, dict[str, list[float]]]
"""By metric and method, in the order of the files."""
Measure = Callable[[dict[str, list[Path]], list[Path]], Values]


def plain_eight() -> Measure:
    """Metric by metric, method by method, file by file."""
    import pyiqa
    import torch

    cpu = torch.device("cpu")
    options = PYIQA_OPTIONS
    metrics = {key: pyiqa.create_metric(key, device=cpu, **options.get(key, {})) for key in EIGHT}

    def measure(methods: dict[str, list[Path]], clean: list[Path]) -> Values:
        return {
            key: {
                method: [
                    float(metric(str(output), str(target)))
                    for output, target in zip(outputs, clean, strict=True)
                ]
                for method, outputs in methods.items()
            }
            for key, metric in metrics.items()
        }

    return measure


def one_pass_eight() -> Measure:
    from inscene import images
    from inscene.quality.one_pass import OnePass

    metrics = OnePass(EIGHT, require_all=True)

    def measure(methods: dict[str, list[Path]], clean: list[Path]) -> Values:
        values: Values = {key: {method: [] for method in methods} for key in EIGHT}
        for index, target in enumerate(clean):
            outputs = {
                method: images.decode(files[index].read_bytes()).pixels
                for method, files in methods.items()
            }
            scored = metrics.score_methods(outputs, images.decode(target.read_bytes()).pixels)
            for method, scores in scored.items():
                for key, score in scores.items():
                    values[key][method].append(score.value or float("nan"))
        return values

    return measure


def plain_fid() -> Measure:
    import pyiqa
    import torch

    fid = pyiqa.create_metric("fid", device=torch.device("cpu"))

    def measure(methods: dict[str, list[Path]], clean: list[Path]) -> Values:
        folders = {method: files[0].parent for method, files in methods.items()}
        options = {"num_workers": 0, "verbose": False}
        return {
            "fid": {
                method: [float(fid(str(folder), str(clean[0].parent), **options))]
                for method, folder in folders.items()
            }
        }

    return measure


def one_pass_fid() -> Measure:
    import numpy as np

    from inscene import images
    from inscene.quality.fid_distance import frechet_from_features
    from inscene.quality.one_pass import OnePass

    metrics = OnePass(["fid"], require_all=True)

    def features(files: list[Path]) -> Any:
        pixels = [images.decode(file.read_bytes()).pixels for file in files]
        scored = metrics.score(pixels, [None] * len(pixels))
        return np.stack([scores["fid"].features for scores in scored])

    def measure(methods: dict[str, list[Path]], clean: list[Path]) -> Values:
        wanted = features(clean)
        return {
            "fid": {
                method: [frechet_from_features(features(files), wanted)]
                for method, files in methods.items()
            }
        }

    return measure


PREPARE = {
    ("plain", "eight"): plain_eight,
    ("one pass", "eight"): one_pass_eight,
    ("plain", "fid"): plain_fid,
    ("one pass", "fid"): one_pass_fid,
}


def main() -> None:
    implementation, section, folder = sys.argv[1:]
    warnings.simplefilter("ignore")  # pyiqa's own
    methods = {
        place.name: sorted(place.iterdir())
        for place in sorted(Path(folder).iterdir())
        if place.name != "clean"
    }
    clean = sorted((Path(folder) / "clean").iterdir())
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        if implementation == "plain":
            from tiny_weights.pyiqa_cache import pyiqa_finds

            cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(pyiqa_finds(Path(os.environ["INSCENE_WEIGHTS"]), cache))
        measure = PREPARE[implementation, section]()
        if section == "eight":  # a first image sets up what is reused
            measure({method: files[:1] for method, files in methods.items()}, clean[:1])
        cpu, wall = time.process_time(), time.perf_counter()
        values = measure(methods, clean)
        times = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    print(json.dumps({**times, "values": values}))


if __name__ == "__main__":
    main()
