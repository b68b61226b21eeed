"""What the degradation engine costs, beside the same chain glued together from OpenCV and NumPy.

    python benchmarks/speed/degrade.py [--only speed,steps] [--with-torch] [--distribution]

Every implementation applies the same operators to the same photos; cost a sample varies twentyfold
with what is drawn. An implementation is a process of its own with one thread, and the passes of
all alternate; the first pass is dropped, and a figure is the median of the others. Files are read
outside the clock. CPU time is user and system; where wall time is longer, the machine was busy.

speed         CPU time, wall time and peak memory of each implementation
steps         where its time goes, at the largest size
workers       images/s of two worker processes against one
end-to-end    the command over a folder of JPEGs, two workers
start         a fresh process until its first image
distribution  PSNR of the results beside torch's, with noise and without (needs torch)

``--with-torch`` adds to speed and steps the original's operations in torch, one by one and in
batches of eight.
They are made for a GPU: what is measured here is their cost on a CPU.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import degrade_photos
import degrade_runs
import degrade_workers
import numpy as np
from degrade_passes import Pass, Sample, alternate, write_set
from degrade_steps import STEP_NAMES
from degrade_tables import Goal, machine_line, print_goals, print_table

from inscene.degrade import Operator, load_profile
from inscene.seeds import Draws

# With these 24 the means of what decides the cost (area after the first resize, noise kinds, kernel
# sizes, second blurs) lie within 6 % of the profiles' own; the first 24 draws have 8 % less area
# and a third more Poisson noise.
FIRST_OPERATOR = 168

CPU_GOALS_MS = {("realesrgan", 512): 16.0, ("realesrgan", 1024): 60.0, ("s3diff", 1024): 50.0}
TORCH_RATIO_GOALS, TORCH_RATIO_SIZE_PX = {"torch": 15.0, "torch, 8 at once": 8.0}, 1024
PLAIN_RATIO_GOAL, PLAIN_RATIO_PROFILE = 2.7, "realesrgan"
WORKERS_RATIO_GOAL = 1.85
END_TO_END_GOAL = 20.0  # images/s
WORKER_MEMORY_GOAL_MB = 400.0
START_GOAL_S = 2.0
PSNR_SHIFT_GOAL_DB = 0.05
SAME_SHARE_GOAL, MIN_PSNR_GOAL_DB = 0.75, 45.0

LARGE_PX = 1024  # of what is measured at one size only
START_PROFILE = "realesrgan"
BUSY = 1.1  # wall / CPU above which figures are not to be trusted
JPEG_QUALITY = 95


class Inputs:
    """Photos and sets of samples, made when they are first needed."""

    def __init__(self, scratch: Path, photos: list[Any], samples: int) -> None:
        self.scratch, self.photos, self.samples = scratch, photos, samples

    def image(self, size_px: int, index: int) -> Path:
        file = self.scratch / f"{size_px}" / f"{index:04d}.npy"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            np.save(file, degrade_photos.crop(self.photos, size_px, index))
        return file

    def set(self, profile_name: str, size_px: int) -> Path:
        """The folder of a set: so many images of one size, each with an operator."""
        folder = self.scratch / f"{profile_name}-{size_px}"
        if not folder.exists():
            folder.mkdir()
            profile = load_profile(profile_name)
            samples = [
                Sample(
                    image=str(self.image(size_px, index)),
                    operator=Operator.draw(profile, operator_draws(index)).to_json(),
                    noise_seed=operator_draws(index).seed("noise_seed"),
                )
                for index in range(self.samples)
            ]
            write_set(folder, samples)
        return folder

    def jpegs(self, count: int) -> Path:
        """A folder of one-megapixel photos."""
        import cv2

        folder = self.scratch / "jpegs"
        folder.mkdir()
        for index in range(count):
            pixels = degrade_photos.crop(self.photos, LARGE_PX, index)
            options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            cv2.imwrite(str(folder / f"{index:04d}.jpg"), pixels[..., ::-1], options)
        return folder


def operator_draws(index: int) -> Draws:
    return Draws("benchmark", FIRST_OPERATOR + index)


# --- the sections: each prints its tables, and returns its goals and its figures -----------------

Result = tuple[list[Goal], Any]


def speed(inputs: Inputs, options: argparse.Namespace) -> Result:
    goals, figures, rows = [], [], []
    for profile in options.profiles:
        for size_px in options.sizes:
            folder = inputs.set(profile, size_px)
            measured = alternate(options.implementations, folder, options.passes)
            engine_ms = [one_pass.cpu_ms for one_pass in measured["engine"][0]]
            for name, (passes, peak) in measured.items():
                cpu_ms = [one_pass.cpu_ms for one_pass in passes]
                wall_ms = median(passes, "wall_ms")
                ratio = statistics.median(a / b for a, b in zip(cpu_ms, engine_ms, strict=True))
                goal = None
                where = f"{profile} {size_px}²"
                limit = CPU_GOALS_MS.get((profile, size_px))
                if name == "engine" and limit is not None:
                    cpu = statistics.median(cpu_ms)
                    goal = Goal(f"engine, CPU time, {where}", cpu, limit, "ms")
                elif name in TORCH_RATIO_GOALS and size_px == TORCH_RATIO_SIZE_PX:
                    what = f"{name} / engine, CPU time, {where}"
                    goal = Goal(what, ratio, TORCH_RATIO_GOALS[name], "×", at_least=True)
                elif name == "plain" and profile == PLAIN_RATIO_PROFILE:
                    what = f"plain / engine, CPU time, {where}"
                    goal = Goal(what, ratio, PLAIN_RATIO_GOAL, "×", at_least=True)
                goals += [goal] if goal else []
                rows.append(
                    (
                        where,
                        name,
                        f"{statistics.median(cpu_ms):.1f}",
                        f"{min(cpu_ms):.1f}–{max(cpu_ms):.1f}",
                        f"{wall_ms:.1f}" + busy_mark(wall_ms, statistics.median(cpu_ms)),
                        f"{ratio:.1f}×",
                        f"{peak:.0f}",
                        str(goal or ""),
                    )
                )
                figures.append(
                    {
                        "profile": profile,
                        "size_px": size_px,
                        "implementation": name,
                        "cpu_ms": cpu_ms,
                        "wall_ms": [one_pass.wall_ms for one_pass in passes],
                        "peak_mb": peak,
                        "times_engine": ratio,
                    }
                )
    print("## Speed: one sample, one thread\n")
    heads = ("set", "implementation", "CPU ms", "min–max", "wall ms", "/ engine", "peak MB", "goal")
    print_table(heads, rows)
    print_busy_note(rows)
    return goals, figures


def steps(inputs: Inputs, options: argparse.Namespace) -> Result:
    figures, rows = [], []
    size_px = max(options.sizes)
    for profile in options.profiles:
        folder = inputs.set(profile, size_px)
        passes_each = min(options.passes, 3)  # shares of a time, not a time that is claimed
        measured = alternate(options.implementations, folder, passes_each, steps=True)
        for name, (passes, _) in measured.items():
            by_step = {
                step: statistics.median(one_pass.steps_ms.get(step, 0.0) for one_pass in passes)
                for step in STEP_NAMES
            }
            total_ms = median(passes, "cpu_ms")
            cells = (f"{by_step[step]:.1f}" for step in STEP_NAMES)
            rows.append((f"{profile} {size_px}²", name, *cells, f"{total_ms:.1f}"))
            figures.append({"profile": profile, "implementation": name, "cpu_ms": by_step})
    print("## Steps: CPU ms a sample, one thread\n")
    print_table(("set", "implementation", *STEP_NAMES, "total"), rows)
    return [], figures


def workers(inputs: Inputs, options: argparse.Namespace) -> Result:
    goals, figures, rows = [], [], []
    for profile in options.profiles:
        for size_px in options.sizes:
            # As much work at each size: short rounds would measure their ends.
            count = options.worker_images * (LARGE_PX // size_px) ** 2
            folder, where = inputs.set(profile, size_px), f"{profile} {size_px}²"
            rates = degrade_workers.measure(folder, count, min(options.passes, 3))
            pairs = zip(rates.one, rates.two, strict=True)
            ratio = statistics.median(two / one for one, two in pairs)
            goal = Goal(
                f"two workers / one, {where}", ratio, WORKERS_RATIO_GOAL, "×", at_least=True
            )
            one, two = statistics.median(rates.one), statistics.median(rates.two)
            rows.append((where, f"{one:.1f}", f"{two:.1f}", f"{ratio:.2f}×", str(goal)))
            goals.append(goal)
            figures.append({"profile": profile, "size_px": size_px, **asdict(rates)})
    print("## Workers: images/s of one and of two\n")
    print_table(("set", "one", "two", "two / one", "goal"), rows)
    return goals, figures


def end_to_end(inputs: Inputs, options: argparse.Namespace) -> Result:
    count = options.images
    folder = inputs.jpegs(count)
    scratch = inputs.scratch / "command"
    scratch.mkdir()
    run = degrade_runs.run_command(folder, scratch, count, workers=2)
    peak = max(run.worker_peaks_mb, default=math.nan)
    rate, rate_after_start = run.images / run.wall_s, run.images / run.work_s
    goals = [
        Goal("end to end, total time", rate, END_TO_END_GOAL, "images/s", at_least=True),
        Goal("end to end, largest worker", peak, WORKER_MEMORY_GOAL_MB, "MB"),
    ]
    print(f"## End to end: {count} JPEGs of {LARGE_PX}² → PNG in Parquet, 2 worker processes\n")
    rows = [
        ("images/s of the total time", f"{rate:.1f}", str(goals[0])),
        ("images/s after start-up", f"{rate_after_start:.1f}", ""),
        ("total, s", f"{run.wall_s:.1f}", ""),
        ("start-up, s", f"{run.startup_s:.1f}", ""),
        ("peak of each worker, MB", ", ".join(f"{mb:.0f}" for mb in run.worker_peaks_mb), goals[1]),
    ]
    print_table(("", "measured", "goal"), [tuple(map(str, row)) for row in rows])
    return goals, asdict(run)


def start(inputs: Inputs, options: argparse.Namespace) -> Result:
    image = inputs.image(LARGE_PX, 0)
    index = operator_with_everything()
    runs = [
        degrade_runs.start_fresh(image, START_PROFILE, index) for _ in range(options.passes + 1)
    ][1:]
    imported, first, second = (
        statistics.median(getattr(run, name) for run in runs)
        for name in ("imported_s", "first_s", "second_s")
    )
    goal = Goal("fresh process to the first image", first, START_GOAL_S, "s")
    print(f"## Start: a fresh process with warm caches, {LARGE_PX}², {START_PROFILE}\n")
    rows = [
        ("imported", f"{imported:.2f}", ""),
        ("first image done", f"{first:.2f}", str(goal)),
        ("second image done", f"{second:.2f}", ""),
    ]
    print_table(("after", "s", "goal"), rows)
    return [goal], [asdict(run) for run in runs]


def operator_with_everything() -> int:
    """The first operator that has both kinds of noise, both blurs and the sinc."""
    profile = load_profile(START_PROFILE)
    for index in range(FIRST_OPERATOR, FIRST_OPERATOR + 1000):
        operator = Operator.draw(profile, Draws("benchmark", index))
        if operator.second is None or operator.second.blur is None or operator.final.sinc is None:
            continue
        if {n.kind for n in (*operator.first.noise, *operator.second.noise)} >= {
            "gaussian",
            "poisson",
        }:
            return index
    raise SystemExit(f"no operator of {START_PROFILE} has both kinds of noise")


def distribution(inputs: Inputs, options: argparse.Namespace) -> Result:
    import degrade_agreement

    goals, figures = [], {}
    pair_rows, clean_rows, notes = [], [], []
    for profile in options.profiles:
        found = degrade_agreement.compare(inputs.photos, profile, options.crops)
        figures[profile] = asdict(found)
        if found.other_levels:
            notes.append(
                f"{profile}: in {found.other_levels} of {options.crops} images torch takes other "
                "Poisson levels than the operator has; they count all the same."
            )
        for pair in found.paired:
            goal = None
            if pair.implementation == "engine":
                what = f"engine − torch, shift of mean PSNR, {profile}"
                goal = Goal(what, abs(pair.difference_db), PSNR_SHIFT_GOAL_DB, "dB")
                goals.append(goal)
            pair_rows.append(
                (
                    profile,
                    pair.implementation,
                    f"{pair.psnr_db:.3f}",
                    f"{pair.difference_db:+.3f}",
                    f"{pair.deviation_db:.3f}",
                    f"{pair.deviation_db / math.sqrt(options.crops):.3f}",
                    str(goal or ""),
                )
            )
        for row in found.noise_free:
            verdict = ""
            if row.implementation == "engine":
                what = f"engine = torch without noise, {profile}"
                share = Goal(f"{what}, share", row.same_share, SAME_SHARE_GOAL, "", at_least=True)
                least = Goal(f"{what}, least", row.min_db, MIN_PSNR_GOAL_DB, "dB", at_least=True)
                goals += [share, least]
                verdict = f"{share}; {least}"
            clean_rows.append(
                (
                    profile,
                    row.implementation,
                    f"{row.same_share:.0%}",
                    f"{row.median_db:.1f}",
                    f"{row.min_db:.1f}",
                    verdict,
                )
            )
    size = f"{degrade_agreement.SIZE_PX}²"
    print(f"## Distribution: {options.crops} photo crops {size}, the same operators, own noise\n")
    print("PSNR of LQ to the reduced GT, and its difference to torch's image by image, dB\n")
    heads = ("profile", "implementation", "PSNR", "mean diff.", "sd", "standard error", "goal")
    print_table(heads, pair_rows)
    if notes:
        print("\n".join(notes) + "\n")
    print("Without noise: PSNR between the LQ and torch's, dB\n")
    same = f"≥ {degrade_agreement.SAME_DB:g} dB"
    print_table(("profile", "implementation", same, "median", "min", "goal"), clean_rows)
    return goals, figures


SECTIONS: dict[str, Callable[[Inputs, argparse.Namespace], Result]] = {
    "speed": speed,
    "steps": steps,
    "workers": workers,
    "end-to-end": end_to_end,
    "start": start,
    "distribution": distribution,
}


def median(passes: list[Pass], name: str) -> float:
    return float(statistics.median(getattr(one_pass, name) for one_pass in passes))


def busy_mark(wall_ms: float, cpu_ms: float) -> str:
    return " (busy)" if wall_ms > BUSY * cpu_ms else ""


def print_busy_note(rows: Sequence[Sequence[str]]) -> None:
    if any("(busy)" in cell for row in rows for cell in row):
        print("(busy): something else ran meanwhile; repeat this on a quiet machine.\n")


# --- the command ---------------------------------------------------------------------------------


def parse() -> argparse.Namespace:
    def words(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=words, help="sections, with commas between")
    parser.add_argument("--with-torch", action="store_true", help="torch as a peer (slow)")
    parser.add_argument("--distribution", action="store_true", help="add the section distribution")
    parser.add_argument("--profiles", type=words, default=["realesrgan", "s3diff"])
    parser.add_argument("--sizes", type=lambda text: [*map(int, words(text))], default=[512, 1024])
    parser.add_argument("--passes", type=int, default=5, help="median of so many (default 5)")
    parser.add_argument("--samples", type=int, default=24, help="of a set (default 24)")
    parser.add_argument("--worker-images", type=int, default=96, help="a round (default 96)")
    parser.add_argument("--images", type=int, default=200, help="end to end (default 200)")
    parser.add_argument("--crops", type=int, default=100, help="distribution (default 100)")
    parser.add_argument("--photos", type=Path, help="a folder of photographs to crop")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()

    options.implementations = ["engine", "plain"]
    if options.with_torch:
        options.implementations += ["torch", "torch grouped", "torch, 8 at once"]
    sections = options.only or [name for name in SECTIONS if name != "distribution"]
    if options.distribution and "distribution" not in sections:
        sections.append("distribution")
    if unknown := [name for name in sections if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    options.sections = sections
    return options


def main() -> None:
    options = parse()
    uses_torch = options.with_torch or "distribution" in options.sections
    packages = ["numpy", "scipy", "numba", "opencv-python-headless"]
    machine = machine_line([*packages, "torch"] if uses_torch else packages)
    photos = degrade_photos.load_photos(options.photos)
    print(f"# Degradation\n\n{machine}\n")
    print(f"Crops of {len(photos)} photos; {options.samples} operators from each profile.\n")
    goals: list[Goal] = []
    figures: dict[str, Any] = {"machine": machine}
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Inputs(Path(scratch), photos, options.samples)
        for name in options.sections:
            began = time.perf_counter()
            section_goals, figures[name] = SECTIONS[name](inputs, options)
            goals += section_goals
            print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    if goals:
        print_goals(goals)
    figures["goals"] = [{**asdict(goal), "met": goal.met} for goal in goals]
    if options.json:
        options.json.write_text(json.dumps(finite(figures), indent=1) + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """JSON has no infinity, which the PSNR of equal images is: null there."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
