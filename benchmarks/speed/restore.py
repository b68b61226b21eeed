"""What restoring a scene costs (stage II: tokens of the face, VAE, UNet, colour fix).

    python benchmarks/speed/restore.py [--family small] [--sides 512 1024] [--runs 3]
                                       [--device auto] [--minutes 10] [--compile]

The plain way (restore_plain.py: eager float32, tiled as S3Diff does, two passes of the UNet one
after the other for guidance, adapters beside the weights) against this project's pipeline, with
its means switched on one after the other. All have the same random weights (restore_model.py), and
their outputs are compared: with the plain way tiled alike, since tiles change what the UNet sees.

Each variant is a process of its own that restores the scene once before the clock starts (that is
where torch.compile's time is); then they take turns, and a figure is the median. The peak of memory
is that of the measured runs: on a CPU of the process, on a GPU what torch had allocated. On a CPU
with ``small``; where there is a GPU, with SD-Turbo's architecture in full. On a CPU torch.compile
is left out unless asked for, since it compiles C++ for minutes.

On a machine that others use at the same time the wall clock says little: look at the CPU's time,
and at the ratio, which is that of runs next to each other.
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
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from degrade_tables import Goal, machine_line, print_goals, print_table
from restore_variants import DEFAULT, PLAIN, PLAIN_UNTILED, Variant, cannot, variants

from inscene.quiet import only_errors

with only_errors("bitsandbytes"):
    from restore_run import PARTS, Options

HERE = Path(__file__).resolve().parent

RATIO_GOAL, MS_GOAL, GOAL_SIDE, GOAL_FAMILY = 2.5, 150.0, 1024, "sd-turbo"
DIFFERENCE_LIMIT = 1e-3
"""Of float32, in [-1, 1]: an eighth of the step between two 8-bit levels."""
PSNR_LIMIT_DB = 40.0
"""Of bfloat16 [chosen]: pixels that are a hundredth of the range of 2 apart. What is below it
does not count as a correct way, however fast."""


@dataclass
class Child:
    """A variant's process and what it told."""

    variant: Variant
    process: subprocess.Popen[str]
    output: Path
    log: Path
    runs: list[dict[str, Any]] = field(default_factory=list)
    first_s: float = math.nan
    at_rest_mb: float = math.nan
    peak_mb: float = math.nan

    @classmethod
    def start(cls, options: Options) -> Child:
        """Returns when its first run is over."""
        output = Path(options.output)
        log = output.with_suffix(".log")
        environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "restore_run.py"), options.to_json()],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        child = cls(options.variant, process, output, log)
        facts = child._next()
        child.first_s, child.at_rest_mb = facts["first_s"], facts["at_rest_mb"]
        return child

    def run(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        self.runs.append(self._next())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.peak_mb = self._next()["peak_mb"]
        self.process.wait()

    def stop(self) -> None:
        self.process.kill()
        with self.process:  # which closes its pipes and waits
            pass

    def _next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise SystemExit(f"{self.variant.name} failed:\n{self.log.read_text()}")
        facts: dict[str, Any] = json.loads(line)
        return facts

    def median_s(self, what: str = "wall_s") -> float:
        return statistics.median(run[what] for run in self.runs)

    def part_s(self, part: str) -> float:
        return statistics.median(run["parts_s"][part] for run in self.runs)


@dataclass(frozen=True)
class Difference:
    largest: float
    mean: float
    psnr_db: float
    """Between the two outputs, of a range of 2."""

    @classmethod
    def of(cls, one: Child, other: Child) -> Difference:
        apart = np.abs(np.load(one.output).astype(np.float64) - np.load(other.output))
        error = float((apart**2).mean())
        psnr = 10 * math.log10(4 / error) if error else math.inf
        return cls(float(apart.max()), float(apart.mean()), psnr)

    def is_rounding(self, variant: Variant) -> bool:
        if variant.bf16:
            return self.psnr_db >= PSNR_LIMIT_DB
        return self.largest <= DIFFERENCE_LIMIT


Start = Callable[[Options], Child]


def measure(
    options: argparse.Namespace,
    side: int,
    device: str,
    scratch: Path,
    deadline: float,
    start: Start = Child.start,
) -> list[Child]:
    """On a CPU all variants take turns, since others may use it too. A GPU's memory may not have
    room for all, and is ours alone: one after the other. ``deadline``, of time.perf_counter: no
    turn but the first begins after it."""
    able = [one for one in variants(device) if _why_not(one, device, options) is None]
    groups = [able] if device == "cpu" else [[variant] for variant in able]
    measured: list[Child] = []
    for group in groups:
        children: list[Child] = []
        try:
            for variant in group:
                output = str(scratch / f"{side}-{len(measured) + len(children)}.npy")
                tiles = options.latent_tile, options.latent_overlap
                children.append(
                    start(Options(variant, options.family, side, device, *tiles, output))
                )
            for turn in range(options.runs):
                if turn and time.perf_counter() > deadline:
                    break
                for child in children:
                    child.run()
            for child in children:
                child.end()
        finally:
            for child in children:
                child.stop()
        measured += children
    return measured


def _why_not(variant: Variant, device: str, options: argparse.Namespace) -> str | None:
    return cannot(variant, device, compile_on_cpu=options.compile)


def show(side: int, measured: list[Child], device: str, options: argparse.Namespace) -> list[Goal]:
    by_name = {child.variant.name: child for child in measured}
    plain = by_name[PLAIN.name]
    differences = {
        child.variant.name: Difference.of(
            child, plain if child.variant.tiled else by_name[PLAIN_UNTILED.name]
        )
        for child in measured
    }
    print(f"## {side}²\n")
    if (turns := len(plain.runs)) < options.runs:
        print(f"Only {turns} of {options.runs} runs each: there was no time for more.\n")
    _print_times(measured, plain, device, options)
    print(f"Where the time goes, ms of the median run{'' if device == 'cpu' else ' (GPU)'}:\n")
    _print_parts(measured)
    print("Outputs in [-1, 1], beside the plain way that is tiled alike:\n")
    rows = [(name, *_cells(one)) for name, one in differences.items() if "plain" not in name]
    tiles = Difference.of(by_name[PLAIN_UNTILED.name], plain)
    rows.append(("plain, untiled, beside plain", *_cells(tiles)))
    tiles_differ = tiles.largest
    print_table(("variant", "largest", "mean", "PSNR dB"), rows)

    right = [one for one in measured if differences[one.variant.name].is_rounding(one.variant)]
    alike = [one for one in right if one.variant.tiled]
    fastest, fastest_alike = (min(some, key=Child.median_s) for some in (right, alike))
    default = by_name[DEFAULT[device]]
    for words, child in (
        ("fastest", fastest),
        ("fastest that is tiled as the plain way", fastest_alike),
        ("what `inscene restore` does by itself", default),
    ):
        by_cpu = f", in CPU time {_ratio(plain, child, 'cpu_s'):.2f}×" if device == "cpu" else ""
        print(f"- {words}: {child.variant.name}, {_ratio(plain, child):.2f}× the plain way{by_cpu}")
    noise = _ratio(plain, by_name[PLAIN_UNTILED.name], "cpu_s")
    if device == "cpu" and tiles_differ == 0:
        print(f"- one tile is enough, so both plain ways are the same: their ratio in CPU time, "
              f"{noise:.2f}×, is how much figures say here")  # fmt: skip
    print()

    goals = []
    for name, one in differences.items():
        variant = by_name[name].variant
        if variant.plain:
            continue
        if variant.bf16:
            what, limit = f"{side}²: {name}, PSNR to plain", PSNR_LIMIT_DB
            goals.append(Goal(what, one.psnr_db, limit, "dB", at_least=True))
        else:
            goals.append(Goal(f"{side}²: {name}, difference", one.largest, DIFFERENCE_LIMIT, ""))
    if device == "cuda" and side == GOAL_SIDE:
        ratio, milliseconds = _ratio(plain, fastest), 1e3 * fastest.median_s()
        goals += [
            Goal(f"{side}²: plain / fastest", ratio, RATIO_GOAL, "×", at_least=True),
            Goal(f"{side}²: an image", milliseconds, MS_GOAL, "ms"),
        ]
    return goals


def _ratio(plain: Child, child: Child, what: str = "wall_s") -> float:
    """Of each turn's pair: what else the machine does comes and goes."""
    pairs = zip(plain.runs, child.runs, strict=True)
    return statistics.median(one[what] / other[what] for one, other in pairs)


def _print_times(
    measured: list[Child], plain: Child, device: str, options: argparse.Namespace
) -> None:
    by_name = {child.variant.name: child for child in measured}
    rows = []
    for variant in variants(device):
        child = by_name.get(variant.name)
        if child is None:
            rows.append((variant.name, _why_not(variant, device, options) or "", *[""] * 7))
            continue
        walls = [1e3 * run["wall_s"] for run in child.runs]
        rows.append(
            (
                variant.name,
                f"{statistics.median(walls):.0f}",
                f"{min(walls):.0f}–{max(walls):.0f}",
                f"{1e3 * child.median_s('cpu_s'):.0f}",
                f"{_ratio(plain, child):.2f}×",
                f"{_ratio(plain, child, 'cpu_s'):.2f}×",
                f"{child.peak_mb:.0f}",
                f"{child.peak_mb - child.at_rest_mb:.0f}",
                f"{child.first_s:.1f}",
            )
        )
    heads = ("variant", "ms", "min–max", "CPU ms", "plain / it", "CPU's", "peak MB", "a run's",
             "first s")  # fmt: skip
    print_table(heads, rows)


def _print_parts(measured: list[Child]) -> None:
    rows = []
    for child in measured:
        parts = [child.part_s(part) for part in PARTS]
        rest = child.median_s() - sum(parts)
        cells = [f"{1e3 * seconds:.0f}" for seconds in (*parts, rest)]
        rows.append((child.variant.name, *cells))
    print_table(("variant", *PARTS, "rest"), rows)


def _cells(one: Difference) -> tuple[str, str, str]:
    return f"{one.largest:.1e}", f"{one.mean:.1e}", f"{one.psnr_db:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--family",
        choices=["tiny", "small", "sd-turbo"],
        help="of the model (default small, with a GPU sd-turbo)",
    )
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[512, 1024], help="px (default 512 1024)"
    )
    parser.add_argument("--runs", type=int, default=3, help="median of so many (default 3)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--latent-tile", type=int, default=96, help="side of the UNet's tiles (default 96)"
    )
    parser.add_argument("--latent-overlap", type=int, default=32, help="of them (default 32)")
    parser.add_argument(
        "--minutes", type=float, default=10, help="after which no more runs begin (default 10)"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile on a CPU too")
    report(parser.parse_args())


def report(options: argparse.Namespace, start: Start = Child.start) -> None:
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    options.family = options.family or ("small" if device == "cpu" else GOAL_FAMILY)

    print(f"# Restoring a scene, {options.family} on {_named(device)}\n")
    print(f"{machine_line(['torch', 'diffusers', 'peft'])}\n")
    print(f"{torch.get_num_threads()} threads; medians of {options.runs} runs.\n", flush=True)
    goals: list[Goal] = []
    begin, seconds = time.perf_counter(), 60 * options.minutes
    costs = [side**2 for side in options.sides]
    with tempfile.TemporaryDirectory() as scratch:
        for number, side in enumerate(options.sides, 1):
            deadline = begin + seconds * sum(costs[:number]) / sum(costs)
            measured = measure(options, side, device, Path(scratch), deadline, start)
            goals += show(side, measured, device, options)
    print_goals(goals)


def _named(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else "the CPU"


if __name__ == "__main__":
    main()
