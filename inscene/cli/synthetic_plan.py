"""``inscene build synthetic --plan``: what would be made, what it takes, what is missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inscene.cli.console import print_json
from inscene.cli.missing_weights import print_missing

if TYPE_CHECKING:
    from inscene.cli.execute import RunOptions
    from inscene.engine.registry import BuiltRecipe
    from inscene.synthetic.estimate import Estimate
    from inscene.synthetic.jobs import Plan
    from inscene.synthetic.steps.generate import Generate
    from inscene.weights.manifest import Weight

SAMPLE_PROMPTS = 3
PROBLEMS_SHOWN = 10


def show_plan(
    built: BuiltRecipe, jobs: Plan, options: RunOptions, seconds_an_image: float | None
) -> None:
    """No model and no weight is needed for it."""
    facts = _facts(built, jobs, options)
    estimates = [_estimate(step, facts["to_make"], seconds_an_image) for step in _generators(built)]
    missing, accepting = _missing(built), _accepting(built)
    if options.as_json:
        facts["estimate"] = [
            {**asdict(one), "gpu_hours": one.gpu_hours, "disk_bytes": one.disk_bytes}
            for one in estimates
        ]
        facts["missing_weights"] = [weight.name for weight in missing]
        facts["download_bytes"] = sum(weight.download_bytes for weight in missing)
        facts["licences_to_accept"] = {
            weight.name: f"{weight.licence.name}: {weight.licence.allows}" for weight in accepting
        }
        facts["notes"] = notes_of(built)
        print_json(facts)
        return
    _print_jobs(facts, options)
    for line in [*problem_lines(jobs), *(f"note: {note}" for note in notes_of(built))]:
        print(line)
    for one in estimates:
        _print_estimate(one)
    print_missing(missing)
    _print_licences(accepting)


def notes_of(built: BuiltRecipe) -> list[str]:
    """What a user should know about the settings."""
    return [note for step in _generators(built) for note in step.generator.notes()]


def problem_lines(jobs: Plan) -> list[str]:
    """Photographs that cannot be used."""
    lines = [
        f"unusable: {one.identity}/{one.file_id}: {one.reason}, {one.detail}"
        + (f" ({_count(one.jobs_lost, 'job')} lost)" if one.jobs_lost else "")
        for one in jobs.problems[:PROBLEMS_SHOWN]
    ]
    if more := jobs.problems[PROBLEMS_SHOWN:]:
        lines.append(f"unusable: {len(more)} more")
    return lines


def weights_of(built: BuiltRecipe) -> list[Weight]:
    """All that the steps need."""
    from inscene.weights.manifest import load_manifest

    names = [name for _, step in built.steps for name in getattr(step, "weights", ())]
    manifest = load_manifest()
    return [manifest[name] for name in dict.fromkeys(names)]


def require_weights(built: BuiltRecipe) -> None:
    """Raises ``MachineError`` with all that are missing; the steps would stop at the first."""
    from inscene.errors import MachineError
    from inscene.weights.sizes import in_words

    missing = _missing(built)
    if len(missing) > 1:  # of one alone its step can say more
        names = [weight.name for weight in missing]
        size = in_words(sum(weight.download_bytes for weight in missing) or None)
        raise MachineError(
            f"{len(missing)} weights are not on this machine: {', '.join(names)}",
            why=f"{size} to download. The same command with --plan has sizes and licences.",
            next_step=f"Run: inscene weights pull {' '.join(names)}",
        )


def _facts(built: BuiltRecipe, jobs: Plan, options: RunOptions) -> dict[str, Any]:
    shots = Counter(job.shot or "unnamed" for job in jobs.jobs)
    samples = jobs.jobs[:: max(1, len(jobs.jobs) // SAMPLE_PROMPTS)][:SAMPLE_PROMPTS]
    return {
        "out": options.out,
        "recipe": built.recipe.name,
        "steps": [name for name, _ in built.steps],
        "jobs": len(jobs.jobs) + sum(problem.jobs_lost for problem in jobs.problems),
        "to_make": min(len(jobs.jobs), options.limit or len(jobs.jobs)),
        "people": len({job.identity for job in jobs.jobs}),
        "splits": {
            split: {
                "jobs": sum(job.split == split for job in jobs.jobs),
                "people": len({job.identity for job in jobs.jobs if job.split == split}),
            }
            for split in sorted({job.split for job in jobs.jobs})
        },
        "shots": dict(sorted(shots.items())),
        "sample_prompts": [{"sample_id": job.sample_id, "prompt": job.prompt} for job in samples],
        "problems": [asdict(problem) for problem in jobs.problems],
    }


def _print_jobs(facts: dict[str, Any], options: RunOptions) -> None:
    limited = f" (the first {options.limit} of them)" if options.limit else ""
    of = f"{_count(facts['jobs'], 'job')} of {_people(facts['people'])}"
    print(f"{facts['recipe']}: {of} → {options.out}{limited}")
    for split, counts in facts["splits"].items():
        print(f"  {split}: {_count(counts['jobs'], 'job')} of {_people(counts['people'])}")
    print("  shots: " + ", ".join(f"{count} {shot}" for shot, count in facts["shots"].items()))
    print(f"steps: {' → '.join(facts['steps'])}")
    for sample in facts["sample_prompts"]:
        print(f"prompt of {sample['sample_id']}: {sample['prompt']}")


def _estimate(step: Generate, jobs: int, seconds_an_image: float | None) -> Estimate:
    from inscene.synthetic.estimate import estimate

    return estimate(
        jobs,
        tries=step.tries,
        steps=step.generator.steps,
        width_px=step.width_px,
        height_px=step.height_px,
        measured_s=seconds_an_image,
    )


def _print_estimate(one: Estimate) -> None:
    from inscene.synthetic.estimate import TFLOP_A_SECOND
    from inscene.weights.sizes import in_words

    least, most = one.gpu_hours
    print(
        f"GPU hours: {_hours(least)} where every first try is taken, {_hours(most)} where each job "
        f"takes {one.tries}; at {one.seconds_an_image:.3g} s an image on one GPU"
    )
    if one.is_assumed:
        print(
            f"  These seconds are assumed ({TFLOP_A_SECOND:.0f} TFLOP/s), not measured. Time the "
            "same command with --limit 16, then say --seconds-per-image."
        )
    print(f"disk: about {in_words(one.disk_bytes)} of scenes ({in_words(one.scene_bytes)} each)")


def _print_licences(accepting: list[Weight]) -> None:
    from inscene.weights.licences import OPTION, by_licence

    if not accepting:
        return
    print(f"licences to accept, with {OPTION} at the first run:")
    for (licence, allows), names in by_licence(accepting).items():
        print(f"  {licence} ({', '.join(names)}): {allows}")


def _generators(built: BuiltRecipe) -> list[Generate]:
    from inscene.synthetic.steps.generate import Generate

    return [step for _, step in built.steps if isinstance(step, Generate)]


def _missing(built: BuiltRecipe) -> list[Weight]:
    from inscene.weights.survey import survey

    return [one.weight for one in survey(weights_of(built)) if not one.is_here]


def _accepting(built: BuiltRecipe) -> list[Weight]:
    from inscene.weights.licences import unaccepted

    return unaccepted(weights_of(built))


def _hours(hours: float) -> str:
    return f"{hours:.2f}" if hours < 1 else f"{hours:.1f}" if hours < 100 else f"{hours:,.0f}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _people(number: int) -> str:
    return "1 person" if number == 1 else f"{number} people"
