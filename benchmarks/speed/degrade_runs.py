"""Whole processes: the command over a folder of photos, and the first image of a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from degrade_memory import peak_mb
from degrade_passes import ONE_THREAD

from inscene.shipped import shipped_folder

SHARD_ROWS = 20  # several shards a worker, so that the workers end together
SAMPLE_EVERY_S = 0.1


@dataclass(frozen=True)
class EndToEnd:
    images: int
    wall_s: float
    """From the start of the command to its end."""
    startup_s: float
    """From the start of the command to the last worker's being ready."""
    work_s: float
    """From there to the last Parquet file's being written."""
    worker_peaks_mb: list[float]


def run_command(folder: Path, scratch: Path, images: int, workers: int) -> EndToEnd:
    """``inscene degrade FOLDER --versions 1 --executor process``; its own recipe, with smaller
    shards and a step at the end that tells when a worker is ready."""
    ready, out = scratch / "ready", scratch / "out"
    ready.mkdir()
    recipe = yaml.safe_load((shipped_folder("pipelines") / "degrade.yaml").read_text("utf-8"))
    recipe["shard_rows"] = SHARD_ROWS
    recipe["steps"].append({"degrade_ready:Ready": {"folder": str(ready)}})
    (scratch / "degrade.yaml").write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "inscene", "degrade", str(folder), "--out", str(out)]
    command += ["--versions", "1", "--recipe", str(scratch / "degrade.yaml"), "--json"]
    command += ["--executor", "process", "--workers", str(workers)]
    path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}

    peaks: dict[int, float] = {}
    log = scratch / "log.txt"
    with log.open("w") as output:
        began, clock = time.time(), time.perf_counter()
        child = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        while child.poll() is None:
            for pid in _ready_pids(ready):
                peaks[pid] = max(peaks.get(pid, 0.0), peak_mb(pid))
            time.sleep(SAMPLE_EVERY_S)
        wall = time.perf_counter() - clock
    written = list((out / "data").glob("*.parquet"))
    if child.returncode or not written:
        raise SystemExit(f"the command failed, exit code {child.returncode}:\n{log.read_text()}")
    started = max(float((ready / str(pid)).read_text()) for pid in _ready_pids(ready))
    ended = max(file.stat().st_mtime for file in written)
    return EndToEnd(images, wall, started - began, ended - started, sorted(peaks.values()))


def _ready_pids(ready: Path) -> list[int]:
    return [int(file.name) for file in ready.iterdir() if file.name.isdigit()]


@dataclass(frozen=True)
class Start:
    """Seconds from the start of a fresh process."""

    imported_s: float
    first_s: float
    second_s: float


FRESH_PROCESS = """
import json, sys, time
import numpy as np
from inscene.degrade import Operator, degrade, load_profile
from inscene.seeds import Draws
times = [time.time()]
image = np.load(sys.argv[1])
operator = Operator.draw(load_profile(sys.argv[2]), Draws("benchmark", int(sys.argv[3])))
for noise_seed in range(2):
    degrade(image, operator, noise_seed)
    times.append(time.time())
print(json.dumps(times))
"""


def start_fresh(image: Path, profile: str, operator_index: int) -> Start:
    command = [sys.executable, "-c", FRESH_PROCESS, str(image), profile, str(operator_index)]
    environment = {**os.environ, **ONE_THREAD}
    began = time.time()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Start(*(at - began for at in json.loads(done.stdout)))
