"""What training costs beside its steps: steps/s, and the share of time that it waits for data.

    python benchmarks/speed/train.py [--family tiny] [--steps 30] [--rounds 3] [--workers 0 1 2]
                                     [--only fadex,restorer] [--photos FOLDER] [--device auto]

The same steps of ``inscene train fadex`` and ``inscene train restorer``: in a plain loop over
batches that lie ready in memory, which is as fast as it can be; and with the loader, whose workers
read or degrade at the same time (0: the training does it itself, between the steps). Data are
photographs, degraded on the way, and the same as pairs that were stored before. The rounds of all
take turns, and figures are medians. Starting the workers is outside the clock; of the first steps,
as many are left out as the workers have batches ready at first.

Where training itself runs on the CPU, its workers take processors from it: the goal can be met only
with processors to spare.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import degrade_photos
from degrade_tables import Goal, machine_line, print_goals, print_table

from inscene import images
from inscene.quiet import only_errors

with only_errors("bitsandbytes"):
    from inscene.training.fadex import run as fadex_run
    from inscene.training.fadex.recipe import FadexRecipe
    from inscene.training.fadex.task import FadexTask
    from inscene.training.loader import PREFETCH, Loader
    from inscene.training.restorer import run as restorer_run
    from inscene.training.restorer.model import build_pipeline, find_device
    from inscene.training.restorer.recipe import RestorerRecipe
    from inscene.training.restorer.task import RestorerTask

WAIT_GOAL = 5.0
"""Per cent."""
PHOTO_PX, PHOTOS = 256, 24


@dataclass
class Measured:
    steps_per_s: list[float] = field(default_factory=list)
    wait: list[float] = field(default_factory=list)
    """Share of the time."""

    def medians(self) -> tuple[float, float]:
        return statistics.median(self.steps_per_s), statistics.median(self.wait)


def write_photos(folder: Path, source: Path | None) -> Path:
    photos = degrade_photos.load_photos(source)
    folder.mkdir()
    for index in range(PHOTOS):
        image = degrade_photos.crop(photos, PHOTO_PX, index)
        (folder / f"{index:02d}.png").write_bytes(images.encode_png(image))
    return folder


def write_pairs(photos: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "inscene", "degrade", str(photos), "--out", str(out)]
    command += ["--versions", "2", "--operator-pool", "auto", "--executor", "inline"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def fadex_task(family: str, data: Path, scratch: Path, device: str) -> Any:
    recipe = FadexRecipe.model_validate(
        {
            "family": family,
            "steps": 10_000,
            "view_px": 64,
            "data": {"crop_px": 96},
            "validation": {"images": 2, "presets": []},
        }
    )
    planned = fadex_run.plan(recipe, [str(data)], str(scratch))
    return FadexTask(recipe, planned.samples, find_device(device), scratch)


def restorer_task(family: str, data: Path, scratch: Path, device: str) -> Any:
    recipe = RestorerRecipe.model_validate(
        {
            "batch": 8,
            "micro_batch": 8,
            "model": {"family": family, "fadex": "untrained"},
            "data": {"crop_px": 64, "scene_px": 128},
            "validation": {"images": 2, "crop_px": 64},
        }
    )
    planned = restorer_run.plan(recipe, [str(data)], str(scratch))
    pipeline = build_pipeline(recipe.model, recipe.seed)
    return RestorerTask(recipe, planned.samples, pipeline, find_device(device), scratch)


TASKS: dict[str, Callable[[str, Path, Path, str], Any]] = {
    "fadex": fadex_task,
    "restorer": restorer_task,
}


def plain(task: Any, batches: Sequence[Any], steps: int) -> tuple[float, float]:
    since = time.perf_counter()
    for step in range(steps):
        task.step(batches[step % len(batches)], step)
    return steps / (time.perf_counter() - since), 0.0


def loaded(task: Any, steps: int, workers: int) -> tuple[float, float]:
    warm = 1 + PREFETCH * workers
    with Loader(task.data, 0, warm + steps, workers) as loader:
        since = 0.0
        for step, batch in loader:
            task.step(batch, step)
            if step == warm - 1:
                loader.waited_s, since = 0.0, time.perf_counter()
        elapsed_s = time.perf_counter() - since
        return steps / elapsed_s, loader.waited_s / elapsed_s


def measure(options: argparse.Namespace, scratch: Path) -> dict[tuple[str, str, str], Measured]:
    photos = write_photos(scratch / "photos", options.photos)
    data = {"photographs": photos, "pairs": write_pairs(photos, scratch / "pairs")}
    found: dict[tuple[str, str, str], Measured] = {}
    for name in options.only:
        for kind, folder in data.items():
            task = TASKS[name](options.family, folder, scratch, options.device)
            batches = [task.data.batch(step) for step in range(min(options.steps, 10))]
            plain(task, batches, 2)
            for _ in range(options.rounds):
                passes = {"plain loop, in memory": plain(task, batches, options.steps)}
                for workers in options.workers:
                    label = f"loader, {workers} workers"
                    passes[label] = loaded(task, options.steps, workers)
                for label, (rate, wait) in passes.items():
                    one = found.setdefault((name, kind, label), Measured())
                    one.steps_per_s.append(rate)
                    one.wait.append(wait)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--family", default="tiny")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(TASKS))
    parser.add_argument("--photos", type=Path, help="folder of photographs")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    print(machine_line(["torch", "diffusers", "opencv-python-headless"]), "\n")
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(options, Path(scratch))
    rows, goals = [], []
    for (name, kind, label), one in found.items():
        rate, wait = one.medians()
        base, _ = found[name, kind, "plain loop, in memory"].medians()
        rows.append(
            (f"{name}, {kind}", label, f"{rate:.2f}", f"{rate / base:.2f}", f"{100 * wait:.1f}")
        )
    print_table(("training", "data", "steps/s", "of the plain loop", "data wait, %"), rows)
    for name, kind in dict.fromkeys((name, kind) for name, kind, _ in found):
        waits = [
            one.medians()[1]
            for (which, what, label), one in found.items()
            if (which, what) == (name, kind) and label.startswith("loader")
        ]
        goals.append(Goal(f"{name}, {kind}: least data wait", 100 * min(waits), WAIT_GOAL, "%"))
    print(f"{os.cpu_count()} CPUs, {options.steps} steps, {options.rounds} rounds\n")
    print_goals(goals)


if __name__ == "__main__":
    main()
