"""What one pass over all metrics costs, beside a plain loop of pyiqa's metrics over the files.

    python benchmarks/speed/metrics.py [--size 512] [--images 2] [--methods 3] [--passes 3]

Both measure the same images with the same networks, whose weights are random: what an image costs
does not depend on them. Each is a process of its own with one thread that loads all its metrics and
measures one image before the clock starts; their passes alternate, and a figure is the median. The
plain loop keeps its metrics loaded too, which flatters it: most scripts load one at a time. CPU
time is user and system.

eight  full-reference and no-reference metrics of each method's outputs, without MANIQA (which
       would hide the others) and FID
fid    of two methods, the clean images the same
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from degrade_photos import crop, load_photos
from degrade_tables import Goal, machine_line, print_goals, print_table
from PIL import Image

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1] / "tests"
sys.path.insert(0, str(TESTS))

EIGHT_RATIO_GOAL, FID_RATIO_GOAL = 1.25, 5.0
DIFFERENCE_GOAL, FID_DIFFERENCE_GOAL = 1e-6, 1e-3
FID_METHODS = 2
IMPLEMENTATIONS = ("plain", "one pass")


def write_weights(folder: Path) -> None:
    """A folder of weights and its manifest, as ``inscene weights pull`` leaves them."""
    from loopback.published import LICENCE, known
    from tiny_weights.metrics import METRIC_FILES

    manifest = {}
    for name, (file, write) in METRIC_FILES.items():
        path = folder / "weights" / name / file
        path.parent.mkdir(parents=True)
        write(path)
        facts = known(file, path.read_bytes(), url="https://nowhere")
        about = {"about": name, "for": ["bench"], "licence": LICENCE}
        manifest[name] = {**about, "files": [facts]}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))


def write_images(folder: Path, size_px: int, count: int, methods: int) -> None:
    """Clean crops, and what each method made of them: more noise each."""
    photos = load_photos(None)
    rng = np.random.default_rng(0)
    for index in range(count):
        clean = crop(photos, size_px, index)
        for method in range(methods + 1):
            noisy = clean + rng.normal(0, 8 * method, clean.shape)
            place = folder / ("clean" if method == 0 else f"method-{method}")
            place.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(noisy, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{index:03d}.png")


def run(implementation: str, section: str, weights: Path, images: Path) -> dict[str, Any]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "INSCENE_WEIGHTS": str(weights / "weights"),
        "INSCENE_WEIGHTS_MANIFEST": str(weights / "manifest.yaml"),
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(TESTS)]),
    }
    program = [sys.executable, str(HERE / "metrics_run.py"), implementation, section, str(images)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(
    section: str, weights: Path, images: Path, passes: int
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float]]:
    """The passes of each, and the largest difference of each metric, relative from 1 on."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in IMPLEMENTATIONS}
    for _ in range(passes):
        for name in IMPLEMENTATIONS:
            results[name].append(run(name, section, weights, images))
    plain, ours = (results[name][0]["values"] for name in IMPLEMENTATIONS)
    differences = {}
    for metric, by_method in plain.items():
        pairs = [
            pair
            for method, values in by_method.items()
            for pair in zip(values, ours[metric][method], strict=True)
        ]
        differences[metric] = max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs)
    return results, differences


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, help="px a side (default 512)")
    parser.add_argument("--images", type=int, default=2, help="clean images (default 2)")
    parser.add_argument("--methods", type=int, default=3, help="that restored them (default 3)")
    parser.add_argument("--fid-images", type=int, default=12, help="of each set (default 12)")
    parser.add_argument("--passes", type=int, default=3, help="median of so many (default 3)")
    parser.add_argument("--only", choices=["eight", "fid"], help="one section")
    options = parser.parse_args()

    print(f"# Metrics\n\n{machine_line(['torch', 'pyiqa', 'numpy', 'scipy'])}\n")
    goals, rows, agreement = [], [], {}
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "weights"
        write_weights(weights)
        counts = {
            "eight": (options.images, options.methods),
            "fid": (options.fid_images, FID_METHODS),
        }
        for section in [options.only] if options.only else counts:
            images = Path(scratch) / section
            write_images(images, options.size, *counts[section])
            results, differences = compare(section, weights, images, options.passes)
            agreement.update(differences)
            seconds = {name: [one["cpu_s"] for one in passes] for name, passes in results.items()}
            pairs = zip(seconds["plain"], seconds["one pass"], strict=True)
            ratio = statistics.median(plain / ours for plain, ours in pairs)
            wanted = EIGHT_RATIO_GOAL if section == "eight" else FID_RATIO_GOAL
            limit = DIFFERENCE_GOAL if section == "eight" else FID_DIFFERENCE_GOAL
            goals += [
                Goal(f"{section}: plain / one pass, CPU time", ratio, wanted, "×", at_least=True),
                Goal(f"{section}: largest difference", max(differences.values()), limit, ""),
            ]
            what = f"{section}: {counts[section][0]} images, {counts[section][1]} methods"
            for name, cpu_s in seconds.items():
                wall_s = statistics.median(one["wall_s"] for one in results[name])
                mine = statistics.median(cpu_s)
                spread = f"{min(cpu_s):.1f}–{max(cpu_s):.1f}"
                beside = f"{ratio:.2f}×" if name == "plain" else "1"
                rows.append((what, name, f"{mine:.1f}", spread, f"{wall_s:.1f}", beside))
    print(f"## {options.size}², one thread\n")
    print_table(("", "implementation", "CPU s", "min–max", "wall s", "/ one pass"), rows)
    print("## Agreement: largest difference to pyiqa, relative from 1 on\n")
    print_table(("metric", "difference"), [(key, f"{one:.1e}") for key, one in agreement.items()])
    print_goals(goals)
    if any(math.isnan(goal.value) for goal in goals):
        raise SystemExit("a metric has no value")


if __name__ == "__main__":
    main()
