"""What generating costs: this builder beside the plain way, one image after the other.

    OMP_NUM_THREADS=1 python benchmarks/speed/generate.py [--people 2] [--prompts 2] [--tries 3]
                      [--runs 3] [--steps 4] [--side 64] [--full-steps 30] [--device auto]

One thread each, where others use the machine too: torch's own wait for each other.

Both have the same models, loaded before the clock starts, and the same jobs and seeds. The plain
way (generate_plain.py) reads, recognises and projects the reference and encodes the prompt at every
try, samples one image, and only then judges it. The builder's step does each of the first once,
samples in batches, and judges an image while the next is sampled. Images and verdicts are compared.

On a CPU with tiny models, in their official layouts from a hub on this machine: sampling is cheap
there, and what is cached is not. So the ratio says that work is not done twice, and nothing of a
GPU. Where there is a GPU, also with FLUX.1's architecture in full, in bfloat16, with random
weights: the same comparison, then seconds an image and peak memory of each memory mode and batch.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from degrade_tables import Goal, machine_line, print_goals, print_table
from generate_plain import PARTS, Made, PlainLoop, Wanted
from generate_random import random_sampler, random_text_encoders

from inscene.engine.rows import Keep, Row
from inscene.engine.step import StepContext
from inscene.errors import MachineError
from inscene.synthetic.generate.flux import FluxGenerator
from inscene.synthetic.generate.id_tokens import IdTokens
from inscene.synthetic.generate.load import load_sampler, load_text_encoders
from inscene.synthetic.generate.memory import PLACES, Places, Resident, free_memory
from inscene.synthetic.generate.request import Generator, Request
from inscene.synthetic.generate.settings import FluxSettings, MemoryMode
from inscene.synthetic.jobs import job_id, seed_of
from inscene.synthetic.judge import IdentityRule
from inscene.synthetic.steps.generate import Generate, Sampling

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

MODELS = (
    "buffalo_l", "antelopev2", "ir-se-50", "flux.1-dev", "infiniteyou-sim", "antiblur-lora",
)  # fmt: skip
LEAST = 0.35
"""Of arbitrary cosines: some tries pass and others do not."""
BATCHES = (1, 2, 4)
LEVELS_LIMIT = 1
"""Of 255, between images of a batch and single ones in float32."""
FULL_SIDES = (1024, 1152)


@dataclass(frozen=True)
class Measured(Generate):
    """The builder's step with a generator whose models are loaded."""

    generator_at_hand: Any = field(default=None, compare=False)

    def open_generator(self) -> Generator:
        made: Generator = self.generator_at_hand
        return made


@dataclass(frozen=True)
class Setting:
    """What both ways are given."""

    flux: FluxSettings
    places: Places
    device: torch.device
    jobs: list[Wanted]
    rule: IdentityRule


@dataclass
class Outcome:
    seconds: list[float] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return sum(len(one.reasons) for one in self.made)

    @property
    def accepted(self) -> int:
        return sum(one.reasons[-1] is None for one in self.made)


def plan(folder: Path, options: argparse.Namespace, side_px: int) -> list[Wanted]:
    from tiny_weights.infusenet import reference

    jobs = []
    for person in range(options.people):
        file = folder / f"{person:05}.png"
        file.write_bytes(reference(person))
        for number in range(options.prompts):
            prompt = f"A full-body photograph of a person at the quiet harbour number {number}."
            name = job_id(file.stem, file.name, prompt, 0)
            seeds = tuple(seed_of(0, name, attempt) for attempt in range(options.tries))
            jobs.append(Wanted(name, prompt, file, seeds, side_px))
    return jobs


def build(setting: Setting, batch: int, cache: Path) -> tuple[float, list[Made]]:
    """By the step, with nothing cached at the start."""
    generator = FluxGenerator(
        setting.flux,
        memory="resident",
        device=str(setting.device),
        id_tokens=IdTokens(cache=cache),
        places=setting.places,
    )
    side_px = setting.jobs[0].side_px
    step = Measured(
        generator=Sampling(**vars(setting.flux)),
        identity=setting.rule,
        width_px=side_px,
        height_px=side_px,
        tries=len(setting.jobs[0].seeds),
        batch=batch,
        generator_at_hand=generator,
    )
    call = step.setup(StepContext(0))
    begin = time.perf_counter()
    rows = [
        Row(job.id, {"sample_id": f"{job.reference.stem}/{number}", "job_id": job.id,
                     "prompt": job.prompt, "image": {"bytes": job.reference.read_bytes()}})
        for number, job in enumerate(setting.jobs)
    ]  # fmt: skip
    outcomes = call(rows)
    seconds = time.perf_counter() - begin
    made = []
    for row, outcome in zip(rows, outcomes, strict=True):
        tries = row.columns["tries"]
        assert isinstance(outcome, Keep) == (tries[-1]["reason"] is None)
        made.append(
            Made(row.pixels, [one["reason"] for one in tries], [one["similarity"] for one in tries])
        )
    return seconds, made


def compare(setting: Setting, runs: int, scratch: Path) -> list[Goal]:
    """The ways take turns, since others may use the machine too; one turn more comes first, which
    is not counted."""
    outcomes = {"plain": Outcome()} | {f"builder, batch {batch}": Outcome() for batch in BATCHES}
    parts: list[dict[str, float]] = []
    plain = PlainLoop(setting.flux, setting.places, setting.device, setting.rule)
    for run in range(runs + 1):
        for part in plain.seconds:
            plain.seconds[part] = 0.0
        begin = time.perf_counter()
        made = plain.make(setting.jobs)
        seconds = {"plain": time.perf_counter() - begin}
        found = {"plain": made}
        for batch in BATCHES:
            name = f"builder, batch {batch}"
            cache = scratch / f"tokens-{run}-{batch}"
            seconds[name], found[name] = build(setting, batch, cache)
        if run:
            parts.append(dict(plain.seconds))
            for name, outcome in outcomes.items():
                outcome.seconds.append(seconds[name])
                outcome.made = found[name]
    return _show(outcomes, parts, is_exact=setting.flux.dtype == "float32")


def _show(
    outcomes: dict[str, Outcome], parts: list[dict[str, float]], *, is_exact: bool
) -> list[Goal]:
    plain = outcomes["plain"]
    print(
        f"{len(plain.made)} jobs, {plain.tried} images, of which {plain.accepted} are accepted.\n"
    )
    rows, goals = [], []
    for name, outcome in outcomes.items():
        median = statistics.median(outcome.seconds)
        ratios = [one / two for one, two in zip(plain.seconds, outcome.seconds, strict=True)]
        levels = _levels(plain.made, outcome.made)
        same = sum(
            one.reasons == two.reasons for one, two in zip(plain.made, outcome.made, strict=True)
        )
        rows.append(
            (
                name,
                f"{median:.2f}",
                f"{min(outcome.seconds):.2f}–{max(outcome.seconds):.2f}",
                f"{outcome.tried / median:.2f}",
                f"{outcome.accepted / median:.2f}",
                f"{statistics.median(ratios):.2f}×",
                f"{levels}",
                f"{same} of {len(plain.made)}",
            )
        )
        if name == "builder, batch 1":
            goals += [
                Goal("batch 1: largest difference of an image", levels, 0, "levels of 255"),
                Goal("batch 1: plain / builder", statistics.median(ratios), 1.0, "×", True),
            ]
        elif name != "plain" and is_exact:
            goals.append(
                Goal(f"{name[9:]}: largest difference", levels, LEVELS_LIMIT, "levels of 255")
            )
    heads = (
        "way", "s", "min–max", "images/s", "accepted/s", "plain / it", "levels apart", "same tries",
    )  # fmt: skip
    print_table(heads, rows)
    total = {part: statistics.median(run[part] for run in parts) for part in PARTS}
    print("Where the plain way's time goes, s of the median run, and ms an image:\n")
    print_table(
        ("part", "s", "ms an image", "share"),
        [
            (part, f"{seconds:.2f}", f"{1e3 * seconds / plain.tried:.0f}",
             f"{100 * seconds / sum(total.values()):.0f} %")
            for part, seconds in total.items()
        ],
    )  # fmt: skip
    return goals


def _levels(some: list[Made], others: list[Made]) -> int:
    """Largest difference of two images of the same try, of 255."""
    apart = 0
    for one, two in zip(some, others, strict=True):
        if one.reasons == two.reasons and one.image is not None and two.image is not None:
            difference = np.abs(one.image.astype(np.int16) - two.image)
            apart = max(apart, int(difference.max()))
    return apart


def memory_modes(steps: int, jobs: list[Wanted], cache: Path) -> None:
    """The full architecture: seconds an image and peak memory, for each mode and batch."""
    device = torch.device("cuda")
    flux = FluxSettings(steps=steps)
    rows = []
    modes: tuple[MemoryMode, ...] = ("resident", "two-phase", "offload", "quant")
    for mode in modes:
        places = PLACES[mode](
            lambda: random_text_encoders(flux),
            lambda mode=mode: random_sampler(flux, quantised=mode == "quant"),
            device,
        )
        generator = FluxGenerator(
            flux, memory=mode, device="cuda", id_tokens=IdTokens(cache=cache), places=places
        )
        for batch in BATCHES:
            rows.append((mode, str(batch), *_one_mode(generator, jobs, batch)))
        del generator, places
        free_memory(device)
    print_table(("mode", "batch", "s an image", "GB of prompts", "GB of sampling"), rows)


def _one_mode(generator: FluxGenerator, jobs: list[Wanted], batch: int) -> tuple[str, str, str]:
    width, height = FULL_SIDES
    requests = [
        Request(f"{job.prompt} {batch}", job.reference.read_bytes(), job.seeds[0], width, height)
        for job in jobs[:batch]
    ]
    try:
        torch.cuda.reset_peak_memory_stats()
        generator.prepare(requests)
        prompts_gb = torch.cuda.max_memory_allocated() / 1e9
        generator.generate(requests)  # the first time is not counted
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        begin = time.perf_counter()
        generator.generate(requests)
        torch.cuda.synchronize()
        seconds = (time.perf_counter() - begin) / batch
    except MachineError as error:
        gc.collect()
        torch.cuda.empty_cache()
        return error.what, "", ""
    sampling_gb = torch.cuda.max_memory_allocated() / 1e9
    return f"{seconds:.2f}", f"{prompts_gb:.1f}", f"{sampling_gb:.1f}"


@contextmanager
def tiny_weights(folder: Path) -> Iterator[None]:
    """Published on a hub on this machine, and pulled from it by the command."""
    from loopback.pulled import pulled

    def inscene(*arguments: str) -> None:
        command = [sys.executable, "-m", "inscene", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)

    os.environ["HF_TOKEN"] = "hf_of_someone_who_accepted_the_licence"
    with pulled(MODELS, folder, inscene):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=2, help="with a photograph each (default 2)")
    parser.add_argument("--prompts", type=int, default=2, help="of each (default 2)")
    parser.add_argument("--tries", type=int, default=3, help="of a job, at most (default 3)")
    parser.add_argument("--runs", type=int, default=3, help="median of so many (default 3)")
    parser.add_argument("--steps", type=int, default=4, help="of the tiny models (default 4)")
    parser.add_argument("--side", type=int, default=64, help="px, of theirs (default 64)")
    parser.add_argument("--full-steps", type=int, default=30, help="in full size (default 30)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    options = parser.parse_args()
    on_gpu = options.device != "cpu" and torch.cuda.is_available()
    if options.device == "cuda" and not on_gpu:
        raise SystemExit("there is no CUDA device here")
    warnings_off()

    print("# Generating scenes\n")
    print(f"{machine_line(['torch', 'diffusers', 'transformers', 'onnxruntime'])}\n")
    print(f"{torch.get_num_threads()} threads; medians of {options.runs} runs.\n")
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory() as name, tiny_weights(Path(name)):
        scratch = Path(name)
        print(f"## Tiny models on the CPU, {options.side}², {options.steps} steps, float32\n")
        tiny = FluxSettings(steps=options.steps, dtype="float32")
        rule = IdentityRule(min=LEAST, sizes_px=(options.side // 32 * 32,), min_score=0.001)
        cpu = torch.device("cpu")
        places = Resident(lambda: load_text_encoders(tiny), lambda: load_sampler(tiny), cpu)
        jobs = plan(scratch, options, options.side)
        goals += compare(Setting(tiny, places, cpu, jobs, rule), options.runs, scratch)
        if on_gpu:
            _in_full(options, rule, scratch)
        else:
            print("No CUDA device here: nothing is known of the full architecture's speed.\n")
    print_goals(goals)


def _in_full(options: argparse.Namespace, rule: IdentityRule, scratch: Path) -> None:
    gpu = torch.device("cuda")
    print(f"## FLUX.1 in full, random, on {torch.cuda.get_device_name()}, bfloat16\n")
    full = FluxSettings(steps=options.full_steps, lora_scale=0.0)
    jobs = plan(scratch, options, FULL_SIDES[0])
    print(f"### {FULL_SIDES[0]}², {full.steps} steps, resident\n")
    places: Places | None = Resident(
        lambda: random_text_encoders(full), lambda: random_sampler(full), gpu
    )
    assert places is not None
    compare(Setting(full, places, gpu, jobs[:4], rule), 1, scratch / "full")
    places = None
    free_memory(gpu)
    print(f"### {FULL_SIDES[0]} × {FULL_SIDES[1]}, {full.steps} steps, without the LoRA\n")
    memory_modes(full.steps, jobs, scratch / "modes")


def warnings_off() -> None:
    """What libraries say of their own future is not of this page."""
    import warnings

    warnings.filterwarnings("ignore")


if __name__ == "__main__":
    main()
