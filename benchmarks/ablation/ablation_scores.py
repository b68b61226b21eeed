"""What each model makes of the held-out photographs: a score for each, kept beside the runs."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from ablation_attention import watched
from ablation_runs import Run, Say
from ablation_scenes import HeldOut, digest

from inscene.errors import InsceneError
from inscene.face2scene import document
from inscene.face2scene.pipeline import Face2ScenePipeline
from inscene.faces.align import ByteImage
from inscene.quality.available import why_unavailable
from inscene.quality.registry import Metric, find_metric
from inscene.training.device import find_device
from inscene.training.restorer.data import image_of, pair_of, tensor_of

GUIDANCE = 1.0
"""[chosen] The positive prompt alone: the negative one sees the same tokens, and would only add a
second pass."""
PROBED = ("none", "zero", "picture", "both")

Score = dict[str, Any]
"""``condition``, ``sample_id``, ``metric``, ``value``"""


def metrics() -> tuple[list[Metric], dict[str, InsceneError]]:
    """Those that can be computed here; and of the others, why not."""
    wanted = [find_metric(key) for key in ("psnr", "ssim", "lpips")]
    missing = {one.key: why for one in wanted if (why := why_unavailable(one)) is not None}
    return [one for one in wanted if one.key not in missing], missing


class Judge:
    def __init__(self, used: Sequence[Metric]) -> None:
        self.keys = [one.key for one in used]
        self._scorers = {one.key: one.load() for one in used}

    def scores(self, condition: str, scene: HeldOut, image: ByteImage) -> list[Score]:
        return [
            {
                "condition": condition,
                "sample_id": scene.sample_id,
                "metric": key,
                "value": float(scorer([image], [scene.hq])[0]),
            }
            for key, scorer in self._scorers.items()
        ]


def bicubic(scenes: Sequence[HeldOut], judge: Judge) -> list[Score]:
    return [score for one in scenes for score in judge.scores("bicubic", one, one.bicubic)]


def measure(
    planned: Sequence[Run], scenes: Sequence[HeldOut], parallel: int, device: str, say: Say
) -> dict[str, dict[str, Any]]:
    """By the run's name ``scores``, ``attention`` (none without tokens) and ``parameters``. What
    was measured before, of the same model and scenes, is read."""
    used, _ = metrics()
    of_scenes = digest(scenes)
    most = max(run.tokens for run in planned)
    found: dict[str, dict[str, Any]] = {}
    missing: list[tuple[Run, dict[str, Any]]] = []
    for run in planned:
        _, files = document.read(run.model)
        probed = run.tokens == most > 0
        key = {"model": files, "scenes": of_scenes, "metrics": [one.key for one in used],
               "guidance": GUIDANCE, "probed": probed}  # fmt: skip
        kept = _kept(run, key)
        if kept is not None:
            found[run.name] = kept
        else:
            missing.append((run, key))
    for number, (run, key, result) in enumerate(_all(missing, scenes, used, parallel, device), 1):
        file = _file(run)
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".tmp")
        fresh.write_text(json.dumps({"key": key, **result}))
        fresh.rename(file)
        found[run.name] = result
        say(f"restored by {run.name}: {number} of {len(missing)}")
    return found


def _all(
    missing: Sequence[tuple[Run, dict[str, Any]]],
    scenes: Sequence[HeldOut],
    used: Sequence[Metric],
    parallel: int,
    device: str,
) -> Iterator[tuple[Run, dict[str, Any], dict[str, Any]]]:
    jobs = [(str(run.model), key["probed"]) for run, key in missing]
    if min(parallel, len(missing)) < 2:
        _begin(scenes, used, device)
        results: Any = map(_one, jobs)
        yield from ((run, key, result) for (run, key), result in zip(missing, results, strict=True))
        return
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes, which import torch anew
    with ProcessPoolExecutor(
        parallel,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(scenes, used, device),
    ) as pool:
        results = pool.map(_one, jobs)
        yield from ((run, key, result) for (run, key), result in zip(missing, results, strict=True))


_GIVEN: dict[str, Any] = {}
"""Of this process."""


def _begin(scenes: Sequence[HeldOut], used: Sequence[Metric], device: str) -> None:
    _GIVEN.update(scenes=scenes, judge=Judge(used), device=find_device(device))


def _one(job: tuple[str, bool]) -> dict[str, Any]:
    model, probed = job
    pipeline = Face2ScenePipeline.from_pretrained(model, device=_GIVEN["device"])
    return judged(pipeline, _GIVEN["scenes"], _GIVEN["judge"], probed)


def judged(
    pipeline: Face2ScenePipeline, scenes: Sequence[HeldOut], judge: Judge, probed: bool
) -> dict[str, Any]:
    """Without tokens what the face is changes nothing: it is restored once."""
    conditions = ["own", "identity", *(PROBED if probed else ())]
    scores: list[Score] = []
    shares: dict[str, list[float]] = {"weight": [], "norm": []}
    for scene in scenes:
        if not pipeline.config.token_scales:
            scores += judge.scores("own", scene, _restored(pipeline, scene, "own"))
            continue
        with watched(pipeline.restorer.unet, pipeline.prompts.positive.shape[1]) as seen:
            image = _restored(pipeline, scene, "own")
        scores += judge.scores("own", scene, image)
        for name, value in seen.means().items():
            shares[name].append(value)
        for condition in conditions[1:]:
            image = _restored(pipeline, scene, condition)
            scores += judge.scores(condition, scene, image)
    return {
        "scores": scores,
        "attention": {name: sum(all_) / len(all_) for name, all_ in shares.items() if all_},
        "parameters": _parameters(pipeline),
    }


def _restored(pipeline: Face2ScenePipeline, scene: HeldOut, condition: str) -> ByteImage:
    if condition in scene.faces:
        face = scene.faces[condition]
    else:
        lq, hq = scene.faces["own"]
        face = (lq, lq) if condition == "identity" else (lq, hq)
    pair = None if condition == "none" else pair_of(face, pipeline.device)
    zeros = _silenced(pipeline) if condition == "zero" else contextlib.nullcontext()
    with zeros:
        (restored,) = pipeline([tensor_of(scene.lq)], [pair], guidance_scale=GUIDANCE)
    return image_of(restored)


@contextlib.contextmanager
def _silenced(pipeline: Face2ScenePipeline) -> Iterator[None]:
    """As many tokens as ever, and nothing in them."""
    hook = pipeline.mapnet.register_forward_hook(lambda *given: torch.zeros_like(given[-1]))
    try:
        yield
    finally:
        hook.remove()


def _parameters(pipeline: Face2ScenePipeline) -> dict[str, int]:
    parts = {
        "VAE": pipeline.restorer.vae,
        "UNet": pipeline.restorer.unet,
        "FaDeX": pipeline.fadex,
        "MapNet": pipeline.mapnet,
    }
    return {
        name: sum(one.numel() for one in part.parameters())
        for name, part in parts.items()
        if pipeline.config.token_scales or name in ("VAE", "UNet")
    }


def _file(run: Run) -> Path:
    return run.setup.out / "scores" / f"{run.name}.json"


def _kept(run: Run, key: dict[str, Any]) -> dict[str, Any] | None:
    try:
        stored: dict[str, Any] = json.loads(_file(run).read_text())
    except (OSError, ValueError):
        return None
    return stored if stored.pop("key", None) == key else None
