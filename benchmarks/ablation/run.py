"""Do degradation tokens help? The restorer with 0, 1, 5 and 21 of them, else alike.

    python benchmarks/ablation/run.py --photos FOLDER... --held-out FOLDER --fadex RUN/model
                                      --vae CHECKPOINT --out OUT [--steps 2000] [--seeds 0 1 2]
                                      [--tokens 0 1 5 21] [--parallel 2] [--set KEY=VALUE]
                                      [--page benchmarks/ablation.md]

One training for each number of tokens and each seed, by ``inscene train restorer``: the same
photographs, steps and VAE; and of one seed the same first weights of the UNet, the same crops,
operators and noise in the same order. Then all restore the held-out photographs, the same LQ each,
and ``benchmarks/ablation.md`` is written, but for its section "What it says", which is people's.

The same command goes on where it was stopped: what has been trained or measured is not done again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType

import ablation_page
import ablation_runs
import ablation_scenes
import ablation_scores
from ablation_runs import REPOSITORY, SCALES, Run, Setup, Start
from ablation_tables import Scores

from inscene.quiet import only_errors

with only_errors("bitsandbytes"):
    from inscene.training import recipe_file
    from inscene.training.restorer.model import build_pipeline, origins
    from inscene.training.restorer.recipe import RestorerRecipe
    from inscene.training.restorer.samples import list_samples


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
    parser.add_argument("--page", type=Path, default=REPOSITORY / "benchmarks/ablation.md")
    options = parser.parse_args(words)
    if 0 not in options.tokens:
        parser.error("--tokens: 0 is what the others are compared with")
    return options


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


def evaluate(options: argparse.Namespace, planned: list[Run], command: str) -> None:
    most = max(planned, key=lambda run: run.tokens)
    overrides = [*most.setup.overrides(most.tokens), f"model.fadex={json.dumps(options.fadex)}"]
    recipe = recipe_file.load(RestorerRecipe, options.recipe, overrides)
    scenes = ablation_scenes.read_scenes(options.held_out, recipe.data)
    say(f"{len(scenes)} photographs to restore")
    found = ablation_scores.measure(planned, scenes, options.parallel, recipe.device, say)
    used, missing = ablation_scores.metrics()
    by_bicubic = ablation_scores.bicubic(scenes, ablation_scores.Judge(used))
    samples = list_samples(options.photos, seed=recipe.seed, hold_back=recipe.validation.images)
    facts = ablation_page.Facts(
        command=command,
        recipe=recipe,
        origins=origins(recipe.model),
        trained_on=len(samples.train),
        sizes=[one.hq.shape[:2] for one in scenes],
        text=build_pipeline(recipe.model, 0).prompts.positive.shape[1],
        missing=missing,
    )
    scores = Scores(planned, found, by_bicubic, used)
    ablation_page.write(options.page, facts, scores, planned, found)
    say(f"{options.page}: written")


def main(words: list[str] | None = None, start: Start = ablation_runs.start) -> int:
    options = _options(words)
    ablation_scenes.must_be_apart(options.photos, options.held_out)
    planned = planned_runs(options)
    if failed := ablation_runs.train(planned, options.parallel, say, start):
        say(f"{len(failed)} of {len(planned)} runs failed")
        return 1
    given = sys.argv[1:] if words is None else words
    evaluate(options, planned, f"python benchmarks/ablation/run.py {shlex.join(given)}")
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
