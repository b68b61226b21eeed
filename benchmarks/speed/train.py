"""What training costs beside its steps: steps/s, and the share of time that it waits for data.

    python benchmarks/speed/train.py [--family tiny small] [--seconds 4] [--rounds 3]
                                     [--workers 0 1] [--data photographs]
                                     [--only fadex,restorer] [--photos FOLDER] [--device auto]

The same steps of ``inscene train fadex`` and ``inscene train restorer``: in a plain loop over
batches that lie ready in memory, which is as fast as it can be; and with the loader, whose workers
read or degrade at the same time (0: the training does it itself, between the steps). The family
small is trained by its shipped recipes, but for its VAE's steps. Data are photographs, degraded on
the way, and, with ``--data pairs``, the same as pairs that were stored before. Each pass takes as
many steps as the plain loop takes in ``--seconds``. The rounds of all take turns, and figures are
medians. Starting the workers is outside the clock; of the first steps, as many are left out as the
workers have batches ready at first. All of it takes about five minutes on two processors.

Where training itself runs on the CPU, its workers take processors from it: the goal can be met only
with processors to spare.
"""

from __future__ import annotations

import argparse
import itertools
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
    from inscene.training import recipe_file
    from inscene.training.device import find_device
    from inscene.training.fadex import run as fadex_run
    from inscene.training.fadex.recipe import FadexRecipe
    from inscene.training.fadex.task import FadexTask
    from inscene.training.loader import PREFETCH, Loader
    from inscene.training.restorer import run as restorer_run
    from inscene.training.restorer.model import build_pipeline
    from inscene.training.restorer.recipe import RestorerRecipe
    from inscene.training.restorer.task import RestorerTask

WAIT_GOAL = 5.0
"""Per cent."""
PHOTO_PX, PHOTOS = 256, 24
DATA = ["photographs", "pairs"]
IN_MEMORY = "plain loop, in memory"


@dataclass
class Measured:
    steps: int
    """Of each pass."""
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


def fadex_recipe(family: str) -> FadexRecipe:
    if family == "small":
        return recipe_file.load(FadexRecipe, "train-fadex-small", ["validation.images=2"])
    return FadexRecipe.model_validate(
        {
            "family": family,
            "steps": 10_000,
            "view_px": 64,
            "data": {"crop_px": 96},
            "validation": {"images": 2, "presets": []},
        }
    )


def restorer_recipe(family: str) -> RestorerRecipe:
    if family == "small":
        changes = ["model.fadex=untrained", "pretrain_vae.steps=0", "validation.images=2"]
        return recipe_file.load(RestorerRecipe, "train-restorer-small", changes)
    return RestorerRecipe.model_validate(
        {
            "batch": 8,
            "micro_batch": 8,
            "model": {"family": family, "fadex": "untrained"},
            "data": {"crop_px": 64, "scene_px": 128},
            "validation": {"images": 2, "crop_px": 64},
        }
    )


def fadex_task(family: str, data: Path, scratch: Path, device: str) -> Any:
    recipe = fadex_recipe(family)
    planned = fadex_run.plan(recipe, [str(data)], str(scratch))
    return FadexTask(recipe, planned.samples, find_device(device), scratch)


def restorer_task(family: str, data: Path, scratch: Path, device: str) -> Any:
    recipe = restorer_recipe(family)
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


def steps_in(task: Any, batches: Sequence[Any], seconds: float) -> int:
    """How many the plain loop takes, at least one; the first ones, which are slower, are left
    out."""
    plain(task, batches, 2)
    return max(1, round(seconds * plain(task, batches, 3)[0]))


def write_data(kinds: Sequence[str], source: Path | None, scratch: Path) -> dict[str, Path]:
    photos = write_photos(scratch / "photos", source)
    made = {"photographs": lambda: photos, "pairs": lambda: write_pairs(photos, scratch / "pairs")}
    return {kind: made[kind]() for kind in kinds}


def measure(options: argparse.Namespace, scratch: Path) -> dict[tuple[str, str, str], Measured]:
    found: dict[tuple[str, str, str], Measured] = {}
    data = write_data(options.data, options.photos, scratch)
    for name, family, kind in itertools.product(options.only, options.family, data):
        task = TASKS[name](family, data[kind], scratch, options.device)
        batches = [task.data.batch(step) for step in range(10)]
        steps = steps_in(task, batches, options.seconds)
        for _ in range(options.rounds):
            passes = {IN_MEMORY: plain(task, batches, steps)}
            for workers in options.workers:
                passes[f"loader, {workers} workers"] = loaded(task, steps, workers)
            for label, (rate, wait) in passes.items():
                one = found.setdefault((f"{name} {family}", kind, label), Measured(steps))
                one.steps_per_s.append(rate)
                one.wait.append(wait)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--family", nargs="+", default=["tiny", "small"])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each pass, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA[:1])
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
        base, _ = found[name, kind, IN_MEMORY].medians()
        figures = (f"{rate:.2f}", f"{rate / base:.2f}", f"{100 * wait:.1f}")
        rows.append((f"{name}, {kind}", label, str(one.steps), *figures))
    heads = ("training", "data", "steps", "steps/s", "of the plain loop", "data wait, %")
    print_table(heads, rows)
    for name, kind in dict.fromkeys((name, kind) for name, kind, _ in found):
        waits = [
            one.medians()[1]
            for (which, what, label), one in found.items()
            if (which, what) == (name, kind) and label.startswith("loader")
        ]
        goals.append(Goal(f"{name}, {kind}: least data wait", 100 * min(waits), WAIT_GOAL, "%"))
    print(f"{os.cpu_count()} CPUs, {options.rounds} rounds\n")
    print_goals(goals)


if __name__ == "__main__":
    main()
