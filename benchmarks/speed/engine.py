"""What the executors cost beside a plain loop, and beside ``multiprocessing``.

The work is the same for all: read and decode 400 one-megapixel JPEGs, keep a processor busy for
50 ms with each, encode it as PNG, and write Parquet files of 25 rows. The plain loop and the
multiprocessing pool have nothing around it: no ledger, no records, no resume.

    python benchmarks/speed/engine.py [--images 400] [--rounds 3] [--runners loop,inline,...]

Every runner is a process of its own, and the rounds alternate between them. CPU time and peak
memory (PSS, shared pages counted once) are of the whole process tree. Start-up lasts until the last
worker is ready; images/s count from there to the last file written. Wall time has all of it, the
end of the workers too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from inscene import images
from inscene.engine.rows import Call, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext

STEP_S = 0.05
SHARD_ROWS = 25
WORKERS = 2
RUNNERS = ("loop", "multiprocessing", "inline", "process", "ray")
SAMPLE_EVERY_S = 1.0  # reading a tree's memory maps costs tens of milliseconds of a processor


def busy() -> None:
    """A step's worth of processor time, whatever else the machine does."""
    until = time.thread_time() + STEP_S
    while time.thread_time() < until:
        pass


def stamp_ready(folder: str) -> None:
    (Path(folder) / str(os.getpid())).write_text(repr(time.time()))


@dataclass(frozen=True)
class Busy(Step):
    ready: str
    """Folder in which a worker leaves the time at which it was ready."""

    def setup(self, context: StepContext) -> Call:
        stamp_ready(self.ready)

        def work(row: Row) -> Outcome:
            busy()
            return Keep((row,))

        return row_by_row(work)


# --- the runners ---------------------------------------------------------------------------------


def work_on(paths: list[Path]) -> list[dict[str, Any]]:
    rows = []
    for path in paths:
        pixels = images.decode(images.read_bytes(path)).pixels
        busy()
        data = images.encode_png(pixels)
        rows.append({"sample_id": path.name, "image": {"bytes": data, "path": path.name}})
    return rows


def write(rows: list[dict[str, Any]], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), target, compression="none", use_dictionary=False)


def chunks(folder: Path) -> list[list[Path]]:
    paths = sorted(folder.iterdir())
    return [paths[start : start + SHARD_ROWS] for start in range(0, len(paths), SHARD_ROWS)]


def run_loop(folder: Path, out: Path, ready: str) -> None:
    out.mkdir()
    stamp_ready(ready)
    for index, paths in enumerate(chunks(folder)):
        write(work_on(paths), out / f"{index}.parquet")


def run_multiprocessing(folder: Path, out: Path, ready: str) -> None:
    out.mkdir()
    tasks = [(paths, out / f"{index}.parquet") for index, paths in enumerate(chunks(folder))]
    with multiprocessing.get_context("spawn").Pool(WORKERS, stamp_ready, (ready,)) as pool:
        pool.map(one_chunk, tasks, chunksize=1)


def one_chunk(task: tuple[list[Path], Path]) -> None:
    import cv2

    cv2.setNumThreads(1)
    write(work_on(task[0]), task[1])


def run_engine(executor: str, folder: Path, out: Path, ready: str) -> None:
    from inscene.engine import run as engine
    from inscene.engine.registry import build
    from inscene.recipe import load_recipe

    recipe = {
        "name": "speed",
        "makes": "scenes",
        "shard_rows": SHARD_ROWS,
        "steps": ["decode", {"engine:Busy": {"ready": ready}}],
    }
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(recipe))
    loaded, source = load_recipe(str(file))
    workers = engine.Workers(executor, None if executor == "inline" else WORKERS)  # type: ignore[arg-type]
    plan = engine.plan(build(loaded, source), [str(folder)], str(out))
    summary = engine.run(plan, workers)
    assert summary.kept == summary.inputs, summary


# --- measuring -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    runner: str
    wall_s: float
    startup_s: float
    work_s: float
    cpu_s: float
    peak_mb: float
    processes: int
    images: int

    @property
    def rate(self) -> float:
        """Images a second after start-up."""
        return self.images / self.work_s


def measure(runner: str, folder: Path, count: int) -> Measured:
    import psutil

    with tempfile.TemporaryDirectory() as scratch:
        ready = Path(scratch) / "ready"
        ready.mkdir()
        command = [sys.executable, __file__, "--child", runner, str(folder), scratch]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        began, clock = time.time(), time.perf_counter()
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        cpu: dict[int, float] = {}
        peak, processes = 0.0, 0
        while child.poll() is None:
            memory = 0.0
            try:
                root = psutil.Process(child.pid)
                tree = [root, *root.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            for process in tree:
                try:
                    times = process.cpu_times()
                    cpu[process.pid] = times.user + times.system
                    memory += process.memory_full_info().pss / 1e6
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    pass
            peak, processes = max(peak, memory), max(processes, len(tree))
            time.sleep(SAMPLE_EVERY_S)
        wall = time.perf_counter() - clock
        if child.returncode:
            raise SystemExit(f"{runner} failed with exit code {child.returncode}")
        started = max(float(file.read_text()) for file in ready.iterdir())
        files = (Path(scratch) / "out").rglob("*.parquet")
        ended = max(file.stat().st_mtime for file in files)
    return Measured(
        runner,
        wall,
        started - began,
        ended - started,
        sum(cpu.values()),
        peak,
        processes,
        count,
    )


def child(runner: str, folder: Path, scratch: Path) -> None:
    out, ready = scratch / "out", str(scratch / "ready")
    if runner == "loop":
        run_loop(folder, out, ready)
    elif runner == "multiprocessing":
        run_multiprocessing(folder, out, ready)
    else:
        run_engine(runner, folder, out, ready)


def make_photos(folder: Path, count: int) -> None:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((1024, 1024), Image.Resampling.BICUBIC)
        image.save(folder / f"{index:04d}.jpg", quality=95)


def report(runs: dict[str, list[Measured]]) -> None:
    def median(runner: str, name: str) -> float:
        return statistics.median(getattr(run, name) for run in runs[runner])

    heads = ("runner", "images/s", "wall s", "start-up s", "CPU s", "peak MB", "processes", "vs")
    print("| " + " | ".join(heads) + " |")
    print("|---" * len(heads) + "|")
    peers = {"inline": "loop", "process": "inline", "ray": "inline", "multiprocessing": "loop"}
    for runner in runs:
        peer = peers.get(runner)
        ratio = ""
        if peer in runs:
            pairs = zip(runs[runner], runs[peer], strict=True)
            ratio = f"{statistics.median(a.rate / b.rate for a, b in pairs):.3f}x {peer}"
        print(
            f"| {runner} | {median(runner, 'rate'):.2f} | {median(runner, 'wall_s'):.1f} "
            f"| {median(runner, 'startup_s'):.1f} | {median(runner, 'cpu_s'):.1f} "
            f"| {median(runner, 'peak_mb'):.0f} | {median(runner, 'processes'):.0f} | {ratio} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3, help="median of so many (default 3)")
    parser.add_argument("--runners", default=",".join(RUNNERS))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        runner, folder, scratch = arguments.child
        child(runner, Path(folder), Path(scratch))
        return
    runners = arguments.runners.split(",")
    runs: dict[str, list[Measured]] = {runner: [] for runner in runners}
    with tempfile.TemporaryDirectory() as folder:
        make_photos(Path(folder), arguments.images)
        for number in range(arguments.rounds):
            for runner in runners:
                run = measure(runner, Path(folder), arguments.images)
                runs[runner].append(run)
                print(f"round {number + 1}: {json.dumps(asdict(run))}", file=sys.stderr)
    print(f"\n{arguments.images} JPEGs of 1024², {STEP_S * 1000:.0f} ms step, {WORKERS} workers, ")
    print(f"median of {arguments.rounds} rounds; images/s after start-up\n")
    report(runs)


if __name__ == "__main__":
    main()
