"""The curation of a gallery without IQA, beside a plain loop of the same library calls.

Both read JPEGs of a person, decode them, find faces on a reduced copy, cut a square that has the
face, find it again there, measure face area and sharpness, take the perceptual hash, and write PNGs
into Parquet files of 16 rows. The engine runs the shipped recipe ``gallery`` with two worker
processes; the loop is one process with nothing around it: no ledger, no records, no resume, no
duplicates.

    python benchmarks/speed/curate.py [--images 60] [--rounds 3] [--runners loop-1,loop,process]
    python benchmarks/speed/curate.py --memory 200,800

``loop-1`` has one thread, as each worker has; ``loop`` has what the libraries take by default,
which is every core for the face detector. Every run is a process of its own, and the rounds
alternate between them. Images/s count from the last worker's models to the last file written; wall
time has start-up too. Each image must be decoded exactly once, which the inline executor is asked:
every load of Pillow and every ``imdecode`` of OpenCV counts. ``--memory`` tells the peak of the
whole process tree for so many images; a tenth more for four times as many is a leak.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from inscene import images
from inscene.engine.rows import Call, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext

SHARD_ROWS = 16
WORKERS = 2
RUNNERS = ("loop-1", "loop", "process")
GOAL = 1.8
MOST_GROWTH = 1.1
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def stamp_ready(folder: str) -> None:
    (Path(folder) / str(os.getpid())).write_text(repr(time.time()))


@dataclass(frozen=True)
class Ready(Step):
    """The last step of the recipe: its setup comes when all models are loaded."""

    ready: str

    def setup(self, context: StepContext) -> Call:
        stamp_ready(self.ready)

        def work(row: Row) -> Outcome:
            return Keep((row,))

        return row_by_row(work)


# --- the runners ---------------------------------------------------------------------------------


def recipe_of(out: Path, ready: str) -> Path:
    """The shipped one without IQA, without a recogniser, and with exact duplicates only: those of
    these photographs are near."""
    from inscene.shipped import shipped_folder

    recipe = yaml.safe_load((shipped_folder("pipelines") / "gallery.yaml").read_text("utf-8"))
    steps = [step for step in recipe["steps"] if "iqa" not in step]
    for step in steps:
        if isinstance(step, dict) and "people" in step:
            step["people"]["keep"] = "largest"
    recipe["steps"] = [*steps, {"curate:Ready": {"ready": ready}}]
    recipe["shard_rows"] = SHARD_ROWS
    for step in recipe.get("closing", ()):
        if "duplicates" in step:
            step["duplicates"]["max_distance"] = None
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return file


def run_engine(executor: str, folder: Path, out: Path, ready: str) -> int:
    from inscene.engine import run as engine
    from inscene.engine.registry import build
    from inscene.recipe import load_recipe

    loaded, source = load_recipe(str(recipe_of(out, ready)))
    workers = engine.Workers(executor, None if executor == "inline" else WORKERS)  # type: ignore[arg-type]
    plan = engine.plan(build(loaded, source), [str(folder)], str(out))
    return engine.run(plan, workers).kept


def run_loop(folder: Path, out: Path, ready: str) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from inscene.faces.detectors.choice import DetectorChoice

    out.mkdir()
    settings = settings_of_recipe()
    detector = DetectorChoice("mtcnn").open()
    stamp_ready(ready)
    paths = sorted(folder.rglob("*.jpg"))
    kept = 0
    for index, start in enumerate(range(0, len(paths), SHARD_ROWS)):
        rows = [curate(path, detector, settings) for path in paths[start : start + SHARD_ROWS]]
        good = [row for row in rows if row is not None]
        kept += len(good)
        table = pa.Table.from_pylist(good)
        pq.write_table(table, out / f"{index}.parquet", compression="none", use_dictionary=False)
    return kept


def settings_of_recipe() -> dict[str, Any]:
    from inscene.shipped import shipped_folder

    recipe = yaml.safe_load((shipped_folder("pipelines") / "gallery.yaml").read_text("utf-8"))
    with_settings = [step for step in recipe["steps"] if isinstance(step, dict)]
    return {name: values for step in with_settings for name, values in step.items()}


def curate(path: Path, detector: Any, settings: dict[str, Any]) -> dict[str, Any] | None:
    """One photo, as a program of a page would do it."""
    from inscene.faces.mapped import mapped_face, reduced
    from inscene.gallery.phash import phash
    from inscene.gallery.steps.face_quality import laplacian_vars
    from inscene.gallery.steps.refine import overlap
    from inscene.gallery.steps.square import Square, resized

    pixels = images.decode(images.read_bytes(path)).pixels
    height, width = pixels.shape[:2]
    if min(height, width) < settings["min_size"]["short_side_px"]:
        return None
    seen, scale = reduced(pixels, settings["detect_faces"]["look_at_px"])
    (faces,) = detector.detect([seen], [None])
    if not faces:
        return None
    face = mapped_face(faces[0], 1 / scale)
    square = Square(side_px=settings["square"]["side_px"])
    start = square._start(face, width, height)
    if start is None:
        return None
    side = min(height, width)
    x, y = (start, 0) if width > height else (0, start)
    scene = resized(pixels[y : y + side, x : x + side], square.side_px)
    there = mapped_face(face, square.side_px / side, x, y)
    (again,) = detector.detect([scene], [there])
    best = max(again, key=lambda one: overlap(one, there), default=None)
    if best is None or overlap(best, there) < settings["refine_face"]["min_overlap"]:
        return None
    sharp, face_sharp = laplacian_vars(scene, best)
    limits = settings["sharpness"]
    if best.area / square.side_px**2 < settings["face_area"]["min"]:
        return None
    if sharp < limits["scene_min"] or face_sharp < limits["face_min"]:
        return None
    return {
        "sample_id": path.name,
        "image": {"bytes": images.encode_png(scene), "path": path.name},
        "phash": phash(scene),
        "pixels_sha256": images.pixel_hash(scene),
        "laplacian_var": sharp,
        "face_laplacian_var": face_sharp,
    }


def child(runner: str, folder: Path, scratch: Path) -> None:
    out, ready = scratch / "out", str(scratch / "ready")
    if runner.startswith("loop"):
        if runner == "loop-1":
            import cv2

            cv2.setNumThreads(1)
        kept = run_loop(folder, out, ready)
    elif runner == "decodes":
        with counted_decodes() as decodes:
            kept = run_engine("inline", folder, out, ready)
        (scratch / "decodes").write_text(str(len(decodes)))
    else:
        kept = run_engine(runner, folder, out, ready)
    (scratch / "kept").write_text(str(kept))


@contextmanager
def counted_decodes() -> Iterator[list[str]]:
    """Every time that an image file's content becomes pixels in this process."""
    from unittest.mock import patch

    import cv2
    from PIL import ImageFile

    seen: list[str] = []
    load, imdecode = ImageFile.ImageFile.load, cv2.imdecode

    def counted_load(self: Any) -> Any:
        if self.tile:  # afterwards it is loaded, and more calls decode nothing
            seen.append(self.format or "")
        return load(self)

    def counted_imdecode(*arguments: Any) -> Any:
        seen.append("opencv")
        return imdecode(*arguments)

    with (
        patch.object(ImageFile.ImageFile, "load", counted_load),
        patch.object(cv2, "imdecode", counted_imdecode),
    ):
        yield seen


# --- measuring -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    runner: str
    images: int
    kept: int
    wall_s: float
    work_s: float
    cpu_s: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """Images a second after start-up."""
        return self.images / self.work_s


def measure(runner: str, folder: Path, scratch: Path) -> Measured:
    import psutil

    ready = scratch / "ready"
    ready.mkdir()
    command = [sys.executable, __file__, "--child", runner, str(folder), str(scratch)]
    # What a worker is born with, the loop of one thread gets too.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(
        [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )}  # fmt: skip
    environment |= ONE_THREAD if runner == "loop-1" else {}
    clock = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    cpu: dict[int, float] = {}
    peak = 0.0
    while process.poll() is None:
        memory = 0.0
        try:
            root = psutil.Process(process.pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for one in tree:
            try:
                times = one.cpu_times()
                cpu[one.pid] = times.user + times.system
                memory += one.memory_full_info().pss / 1e6
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                pass
        peak = max(peak, memory)
        time.sleep(0.5)
    wall = time.perf_counter() - clock
    if process.returncode:
        raise SystemExit(f"{runner} failed with exit code {process.returncode}")
    started = max(float(file.read_text()) for file in ready.iterdir())
    ended = max(file.stat().st_mtime for file in (scratch / "out").rglob("*.parquet"))
    count = len(list(folder.rglob("*.jpg")))
    kept = int((scratch / "kept").read_text())
    return Measured(runner, count, kept, wall, ended - started, sum(cpu.values()), peak)


def once(runner: str, folder: Path) -> Measured:
    with tempfile.TemporaryDirectory() as scratch:
        return measure(runner, folder, Path(scratch))


def make_photos(folder: Path, count: int) -> None:
    """Cuts of the photograph with a face that scikit-image carries, 1200 to 1500 px wide."""
    import numpy as np
    import skimage.data
    from PIL import Image

    astronaut = Image.fromarray(skimage.data.astronaut())
    rng = np.random.default_rng(0)
    (folder / "person").mkdir(parents=True)
    for index in range(count):
        left, top = rng.integers(0, 100), rng.integers(0, 20)
        right, bottom = rng.integers(380, 513), rng.integers(400, 513)
        width = int(rng.integers(1200, 1500))
        cut = astronaut.crop((left, top, right, bottom))
        photo = cut.resize((width, width * cut.height // cut.width), Image.Resampling.LANCZOS)
        grain = rng.normal(0, 6, (photo.height, photo.width, 1))
        noisy = np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "person" / f"{index:05d}.jpg", quality=92)


# --- what is told --------------------------------------------------------------------------------


def check_decodes(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        found = measure("decodes", folder, Path(scratch))
        decodes = int((Path(scratch) / "decodes").read_text())
    assert decodes == found.images, f"{decodes} decodes of {found.images} images"
    print(f"decoded once each: {decodes} decodes of {found.images} images")


def speed(count: int, rounds: int, runners: list[str]) -> None:
    runs: dict[str, list[Measured]] = {runner: [] for runner in runners}
    with tempfile.TemporaryDirectory() as folder:
        make_photos(Path(folder), count)
        check_decodes(Path(folder))
        for number in range(rounds):
            for runner in runners:
                run = once(runner, Path(folder))
                runs[runner].append(run)
                print(f"round {number + 1}: {json.dumps(asdict(run))}", file=sys.stderr)
    kept = {run.kept for several in runs.values() for run in several}
    assert len(kept) == 1, f"the runners do not keep the same: {kept}"
    print(
        f"\n{count} JPEGs of about 1350², {kept.pop()} kept, {WORKERS} workers, median of {rounds}"
    )
    print(f"rounds; images/s after start-up\n\n{table(runs)}")
    if "process" in runs and "loop-1" in runs:
        ratio = against(runs, "process", "loop-1")
        print(f"\ngoal: at least {GOAL} x loop-1: {'met' if ratio >= GOAL else 'NOT met'}")


def table(runs: dict[str, list[Measured]]) -> str:
    heads = ("runner", "images/s", "wall s", "CPU s", "peak MB", "vs loop-1", "vs loop")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for runner, several in runs.items():
        figures = [statistics.median(getattr(run, name) for run in several)
                   for name in ("rate", "wall_s", "cpu_s", "peak_mb")]  # fmt: skip
        ratios = [
            f"{against(runs, runner, peer):.2f}x" if peer in runs and peer != runner else ""
            for peer in ("loop-1", "loop")
        ]
        told = [f"{figures[0]:.2f}", f"{figures[1]:.1f}", f"{figures[2]:.1f}", f"{figures[3]:.0f}"]
        lines.append("| " + " | ".join([runner, *told, *ratios]) + " |")
    return "\n".join(lines)


def against(runs: dict[str, list[Measured]], runner: str, peer: str) -> float:
    pairs = zip(runs[runner], runs[peer], strict=True)
    return statistics.median(one.rate / other.rate for one, other in pairs)


def memory(counts: list[int]) -> None:
    peaks = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            make_photos(Path(folder), count)
            peaks.append(once("process", Path(folder)).peak_mb)
        print(f"{count} images: peak of all processes {peaks[-1]:.0f} MB")
    growth = peaks[-1] / peaks[0]
    print(f"{growth:.3f} times for {counts[-1] / counts[0]:g} times as many")
    assert growth <= MOST_GROWTH, f"grows with the number of images: {peaks} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="median of so many (default 3)")
    parser.add_argument("--runners", default=",".join(RUNNERS))
    parser.add_argument("--memory", metavar="N,M", help="peak memory for N and for M images")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        runner, folder, scratch = arguments.child
        child(runner, Path(folder), Path(scratch))
    elif arguments.memory:
        memory([int(one) for one in arguments.memory.split(",")])
    else:
        speed(arguments.images, arguments.rounds, arguments.runners.split(","))


if __name__ == "__main__":
    main()
