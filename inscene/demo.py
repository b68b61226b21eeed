"""The main job on photographs that installed packages carry: nothing to download, nothing to find.

photos → scenes → degraded pairs → two classical methods, and a small learned one → leaderboard
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from inscene.bench.examples import load_examples
from inscene.bench.leaderboard import Board, load_boards, render
from inscene.bench.methods.find import find_method
from inscene.bench.results import load_results
from inscene.bench.run import bench_of_dataset, run_bench
from inscene.engine import run as engine
from inscene.engine.progress import open_display
from inscene.engine.registry import build
from inscene.errors import MachineError
from inscene.quality.registry import WITHOUT_WEIGHTS
from inscene.recipe import load_recipe
from inscene.shipped import shipped_folder

METHODS = ("bicubic", "bilateral", "face2scene")
"""The last with the checkpoint that ships: without references, by its text tokens."""
EXAMPLES = 6
VERSIONS = 3  # of each photo: enough that one lucky draw does not decide the leaderboard


@dataclass(frozen=True)
class DemoResult:
    scenes: Path
    pairs: Path
    results: Path
    leaderboard: Path
    boards: list[Board]


def find_photos() -> dict[str, list[Path]]:
    """Photos by the package that carries them, as the packages' own file lists name them."""
    listed = shipped_folder("manifests") / "demo_photos.yaml"
    found: dict[str, list[Path]] = {}
    for package, wanted in yaml.safe_load(listed.read_text("utf-8")).items():
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        paths = [Path(str(file.locate())) for file in files if file.as_posix() in wanted]
        if present := [path for path in paths if path.is_file()]:
            found[package] = present
    return found


def run_demo(out: str, say: Callable[[str], None], methods: Sequence[str] = METHODS) -> DemoResult:
    """Run everything into the folder ``out``; a folder of an earlier demo is resumed. A method that
    cannot run here is left out, and said to be.

    Raises :class:`MachineError` where no installed package carries photos.
    """
    photos = find_photos()
    sources = [str(path) for paths in photos.values() for path in paths]
    if not sources:
        raise MachineError(
            "no photos to work on",
            why="None of the packages that carry some is installed.",
            next_step="Run: pip install scikit-image.",
        )
    say(f"{len(sources)} photos, carried by {', '.join(photos)}")
    folder = Path(out)
    scenes, pairs, results = folder / "scenes", folder / "pairs", folder / "results"

    say("\n1. photos → scenes")
    _run("photos", sources, scenes)
    say("\n2. scenes → LQ–HQ pairs (two-order Real-ESRGAN chain)")
    _run("degrade", [str(scenes)], pairs, f"degrade.versions={VERSIONS}")
    say("\n3. restore the LQ images, score against HQ")
    able = []
    for name in methods:
        if missing := find_method(name).missing():
            say(f"{name} is left out: {' '.join(missing)}")
        else:
            able.append(name)
    run_bench(bench_of_dataset(str(pairs), able, WITHOUT_WEIGHTS, str(results)), _execute)

    boards = load_boards([str(results)])
    leaderboard = folder / "leaderboard.html"
    examples = load_examples(load_results([str(results)]), EXAMPLES)
    leaderboard.write_text(render(boards, "html", examples=examples) + "\n", encoding="utf-8")
    return DemoResult(scenes, pairs, results, leaderboard, boards)


def _run(recipe_name: str, sources: list[str], out: Path, *overrides: str) -> None:
    recipe, source = load_recipe(recipe_name, overrides)
    _execute(engine.plan(build(recipe, source), sources, str(out)), recipe_name)


def _execute(plan: engine.Plan, title: str) -> engine.Summary:
    display = open_display(title, plan.inputs)
    try:
        return engine.run(plan, display=display)
    finally:
        display.close()
