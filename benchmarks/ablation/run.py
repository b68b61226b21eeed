"""Do degradation tokens help? The restorer with 0, 1, 5 and 21 of them, else alike.

    python benchmarks/ablation/run.py --photos FOLDER... --held-out FOLDER --fadex RUN/model
                                      --vae CHECKPOINT --out OUT [--steps 2000] [--seeds 0 1 2]
                                      [--tokens 0 1 5 21] [--parallel 2] [--set KEY=VALUE]

One training for each number of tokens and each seed, by ``inscene train restorer``: the same
photographs, steps and VAE; and of one seed the same first weights of the UNet, the same crops,
operators and noise in the same order. The same command goes on where it was stopped: trainings
that have ended are not begun again.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

import ablation_runs
from ablation_runs import SCALES, Run, Setup, Start


def _options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", nargs="+", required=True, help="to train on")
    parser.add_argument("--held-out", required=True, help="photographs to restore")
    parser.add_argument("--fadex", required=True, help="model of inscene train fadex")
    parser.add_argument("--vae", required=True, help="checkpoint whose VAE all begin with")
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--steps", type=int, default=2000, help="of each run (default 2000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, nargs="+", choices=list(SCALES), default=list(SCALES))
    parser.add_argument("--parallel", type=int, default=2, help="runs at once (default 2)")
    parser.add_argument("--recipe", default="train-restorer-small")
    parser.add_argument("--set", action="append", default=[], help="of every run's recipe")
    return parser.parse_args(words)


def say(line: str) -> None:
    print(line, flush=True)


def planned_runs(options: argparse.Namespace) -> list[Run]:
    setup = Setup(
        photos=tuple(options.photos),
        fadex=options.fadex,
        vae=options.vae,
        out=options.out,
        steps=options.steps,
        recipe=options.recipe,
        sets=tuple(options.set),
    )
    return ablation_runs.runs(setup, options.tokens, options.seeds)


def main(words: list[str] | None = None, start: Start = ablation_runs.start) -> int:
    options = _options(words)
    planned = planned_runs(options)
    if failed := ablation_runs.train(planned, options.parallel, say, start):
        say(f"{len(failed)} of {len(planned)} runs failed")
        return 1
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("interrupted: the same command goes on")
        sys.exit(130)
