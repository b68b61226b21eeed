"""One variant of restore.py in a process of its own: restores a scene whenever it is told to.

    python restore_run.py OPTIONS    # JSON of Options

It prints one JSON object a line: what it begins with, after a first run that is not measured; for
each line ``run`` of its input the times; at the end of its input the peak of memory.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from degrade_memory import peak_mb
from restore_model import build, scene_and_pair
from restore_plain import PlainStageTwo
from restore_variants import Variant
from torch import Tensor

from inscene.face2scene import colour, vae_tiles
from inscene.face2scene.config import UNTILED, Tiling
from inscene.face2scene.pipeline import Face2ScenePipeline

PARTS = ("tokens", "encode", "UNet", "decode", "colour")


@dataclass(frozen=True)
class Options:
    variant: Variant
    family: str
    side: int
    device: str
    latent_tile: int
    latent_overlap: int
    output: str
    """File to write the restored scene to, .npy."""

    @classmethod
    def from_json(cls, text: str) -> Options:
        values = json.loads(text)
        return cls(**{**values, "variant": Variant(**values["variant"])})

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Stopwatch:
    """Seconds of each part of a run, without holding a GPU up in between."""

    def __init__(self, device: str) -> None:
        self._on_gpu = device == "cuda"
        self._watched: list[tuple[Any, str, str]] = []
        self._spans: list[tuple[str, Any, Any]] = []

    def watch(self, owner: Any, method: str, part: str) -> None:
        """In ``running``. ``owner``: an object, or a module."""
        self._watched.append((owner, method, part))

    @contextmanager
    def running(self) -> Iterator[None]:
        before = [getattr(owner, method) for owner, method, _ in self._watched]
        for (owner, method, part), inner in zip(self._watched, before, strict=True):
            setattr(owner, method, self._timed(inner, part))
        try:
            yield
        finally:
            for (owner, method, _), inner in zip(self._watched, before, strict=True):
                setattr(owner, method, inner)

    def _timed(self, inner: Callable[..., Any], part: str) -> Callable[..., Any]:

        def watched(*values: Any, **named: Any) -> Any:
            begin = self._now()
            result = inner(*values, **named)
            self._spans.append((part, begin, self._now()))
            return result

        return watched

    def take(self) -> dict[str, float]:
        """Since the last time. A GPU must have finished."""
        seconds = dict.fromkeys(PARTS, 0.0)
        for part, begin, end in self._spans:
            seconds[part] += begin.elapsed_time(end) / 1e3 if self._on_gpu else end - begin
        self._spans.clear()
        return seconds

    def _now(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def prepare(options: Options, stopwatch: Stopwatch) -> Callable[[], Tensor]:
    """What restores the scene once, to 3×H×W."""
    variant, pipeline = options.variant, build(options.family)
    pipeline.to(options.device, torch.bfloat16 if variant.bf16 else torch.float32)
    scene, pair = scene_and_pair(pipeline.config, options.side)
    pair = type(pair)(*(image.to(options.device, pipeline.dtype) for image in (pair.lq, pair.hq)))
    scene = scene.to(options.device)
    tiling = _tiling(options, pipeline)
    if variant.plain:
        plain = PlainStageTwo(pipeline, tiling)
        for method, part in zip(
            ("tokens", "encode", "predict", "decode", "colour"), PARTS, strict=True
        ):
            stopwatch.watch(plain, method, part)
        return lambda: plain(scene, pair)
    pipeline.optimised(
        fuse_lora=variant.fused, channels_last=variant.channels_last, compile=variant.compiled
    )
    restorer = pipeline.restorer
    for owner, method, part in (
        (pipeline, "tokens", "tokens"),
        (restorer, "encode", "encode"),
        (vae_tiles, "encode", "encode"),
        (restorer, "predict", "UNet"),
        (restorer, "decode", "decode"),
        (vae_tiles, "decode", "decode"),
        (colour, "fix", "colour"),
    ):
        stopwatch.watch(owner, method, part)
    return lambda: pipeline([scene], [pair], tiling=tiling)[0]


def _tiling(options: Options, pipeline: Face2ScenePipeline) -> Tiling:
    if not options.variant.tiled:
        return UNTILED
    update = {"latent_tile": options.latent_tile, "latent_overlap": options.latent_overlap}
    return pipeline.config.tiling.model_copy(update=update)


class Memory:
    """Of runs, without what came before them: MB of 10⁶ bytes."""

    def __init__(self, device: str) -> None:
        self._on_gpu = device == "cuda"
        self.at_rest = self._forget()

    def _forget(self) -> float:
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated() / 1e6
        with suppress(OSError):  # not Linux: the peak since the start
            Path("/proc/self/clear_refs").write_text("5")
        return peak_mb()

    def peak(self) -> float:
        return torch.cuda.max_memory_allocated() / 1e6 if self._on_gpu else peak_mb()


class Worker:
    """A variant that is ready: it has restored the scene once."""

    def __init__(self, options: Options) -> None:
        self._device = options.device
        self._stopwatch = Stopwatch(options.device)
        self._restore = prepare(options, self._stopwatch)
        image, first = self._timed()
        np.save(options.output, image.float().cpu().numpy())
        del image
        self._memory = Memory(options.device)
        self.facts = {"first_s": first["wall_s"], "at_rest_mb": self._memory.at_rest}

    def run(self) -> dict[str, Any]:
        return self._timed()[1]

    def end(self) -> dict[str, Any]:
        return {"peak_mb": self._memory.peak()}

    def _timed(self) -> tuple[Tensor, dict[str, Any]]:
        with self._stopwatch.running():
            cpu, wall = time.process_time(), time.perf_counter()
            image = self._restore()
            if self._device == "cuda":
                torch.cuda.synchronize()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return image, {"wall_s": wall, "cpu_s": cpu, "parts_s": self._stopwatch.take()}


def main() -> None:
    worker = Worker(Options.from_json(sys.argv[1]))
    _say(worker.facts)
    for _ in sys.stdin:
        _say(worker.run())
    _say(worker.end())


def _say(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
