"""``benchmarks/ablation.md``. What people wrote below "What it says" stays as they wrote it."""

from __future__ import annotations

import importlib.metadata
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ablation_tables as tables
from ablation_runs import Run
from ablation_scores import GUIDANCE, PROBED

from inscene.errors import InsceneError
from inscene.training.restorer.recipe import RestorerRecipe

BY_HAND = "## What it says"
NOTHING_YET = "Nothing yet: this section is written by hand, and the program leaves it as it is."


@dataclass(frozen=True)
class Facts:
    command: str
    recipe: RestorerRecipe
    origins: Mapping[str, str]
    """Hashes of the FaDeX and of the VAE's checkpoint."""
    trained_on: int
    """Photographs."""
    sizes: Sequence[tuple[int, int]]
    """Height and width of the held-out ones."""
    text: int
    """Entries of the context that are text."""
    missing: Mapping[str, InsceneError]
    """Metrics that could not be computed, and why."""


def write(
    file: Path,
    facts: Facts,
    scores: tables.Scores,
    planned: Sequence[Run],
    found: Mapping[str, Mapping[str, Any]],
) -> None:
    parts = [
        "# Do degradation tokens help?",
        f"The restorer with {_listed(scores.tokens)} degradation tokens, and nothing else "
        "different.\nWritten by `benchmarks/ablation/run.py`.",
        f"{BY_HAND}\n\n{by_hand(file)}",
        f"## Restored photographs\n\nMeans over images and seeds.\n\n{tables.overall(scores)}",
        tables.against_bicubic(scores),
        f"## With tokens, less without\n\n{_PAIRED}\n\n{tables.against_none(scores, 'own')}",
        f"The same, where no clean pixel was seen: the square's LQ stands beside itself, as "
        f"`--blind identity` would have it.\nNo model was trained on such pairs.\n\n"
        f"{tables.against_none(scores, 'identity')}",
    ]
    if most := scores.tokens[-1]:
        parts += [
            f"## Why\n\nThe models with {most} tokens, told at inference what is not so. Less the "
            f"same models, told what is so:\n\n{tables.probes(scores, _ordered())}",
            f"{_ATTENTION}\n\n{tables.attention(planned, found, facts.text)}",
        ]
    parts.append(_method(facts, scores, planned, found))
    fresh = file.with_name(f".{file.name}.tmp")
    fresh.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    fresh.rename(file)


def by_hand(file: Path) -> str:
    """What is below the heading, to the next one."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return NOTHING_YET
    _, heading, rest = f"\n{text}".partition(f"\n{BY_HAND}\n")
    return rest.partition("\n## ")[0].strip("\n") if heading else NOTHING_YET


_PAIRED = (
    "Of each image, the model with tokens less the one without, of the same seed. Intervals are of "
    "the mean\ndifference, by a bootstrap over images, an image's seeds staying together; they say "
    "nothing of further seeds,\nfor which the differences of each seed stand beside them. Wins are "
    "shares of images and seeds."
)
_ATTENTION = (
    "What attention does with the tokens, a figure for each seed, as means over images, layers, "
    "heads and places.\nWere all entries of the context attended alike, its weight would be the "
    'tokens\' share of the context.\n"What is added" compares the lengths of the two sums of '
    "weighted values, of tokens and of text."
)

_AND_THE_VAE = {"unet": ", and so is the VAE", "lora": ", and so is all but adapters"}


def _ordered() -> list[str]:
    return [name for name in tables.SAID if name in PROBED]


def _method(
    facts: Facts,
    scores: tables.Scores,
    planned: Sequence[Run],
    found: Mapping[str, Mapping[str, Any]],
) -> str:
    recipe, steps = facts.recipe, planned[0].setup.steps
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "diffusers")
    )
    parameters = found[max(planned, key=lambda run: run.tokens).name]["parameters"]
    sides = sorted({tuple(sorted(size, reverse=True)) for size in facts.sizes})
    lines = [
        f"- Trained: {steps:,} steps of {recipe.batch} crops of {recipe.data.crop_px} px, of "
        f"{facts.trained_on} photographs, degraded on the way under the profile "
        f"`{recipe.data.profile}`; seeds {', '.join(map(str, scores.seeds))}.",
        "- Models of one seed begin with the same weights and see the same crops, operators, face "
        "pairs and noise in the same order. Those without tokens have text alone.",
        f"- Family `{recipe.model.family}`, parameters: "
        + ", ".join(f"{name} {count:,}" for name, count in parameters.items())
        + f". FaDeX is frozen{_AND_THE_VAE.get(recipe.model.config().trainable, '')}.",
        *(f"- {name}: SHA-256 {value[:16]}…" for name, value in facts.origins.items()),
        f"- Restored: {len(facts.sizes)} photographs that none of these was trained on, whole, of "
        + ", ".join(f"{long}×{short}" for long, short in sides)
        + " px, each degraded once by an operator of its own; the LQ is the same for all.",
        "- The face pair is a stand-in: a random square of the scene, degraded and **clean**, as "
        "in training. So models with tokens are told of some clean pixels of the scene, through "
        "FaDeX; where the LQ stands beside itself they are not.",
        f"- Guidance {GUIDANCE:g} (the positive prompt alone), colour fix "
        f"`{recipe.model.config().colour_fix}`, as for every checkpoint of this family.",
        "- PSNR and SSIM are of the luma, as in `inscene bench`; p is of a sign-flip test over "
        "images, corrected for the metrics of a row's models.",
        *(f"- {key.upper()}: not available. {why.what}" for key, why in facts.missing.items()),
        f"- {versions}.",
    ]
    commands = "\n".join(
        f"    inscene {shlex.join(run.arguments())}"
        for run in planned
        if run.seed == planned[0].seed
    )
    return (
        "## How it was measured\n\n"
        + "\n".join(lines)
        + f"\n\n    {facts.command}\n\nwhich trains by these, and alike with the other seeds:\n\n"
        + commands
    )


def _listed(numbers: Sequence[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last
