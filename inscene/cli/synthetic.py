"""``inscene build synthetic``"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from inscene.cli import options as opt
from inscene.cli.console import say
from inscene.cli.execute import RunOptions, built_recipe, execute_plan
from inscene.errors import UsageError

if TYPE_CHECKING:
    from inscene.engine.registry import BuiltRecipe
    from inscene.synthetic.jobs import Plan

_Mode = Literal["image", "rows3"]
_Memory = Literal["resident", "two-phase", "offload", "quant"]


def synthetic(
    references: Annotated[
        Path,
        typer.Argument(
            help="Folder of photographs of people, a sub-folder for each.", metavar="DIR"
        ),
    ],
    out: opt.Out,
    prompts: Annotated[
        Path | None,
        typer.Option(help="The authors' CSV of prompts, in place of our grammar.", metavar="CSV"),
    ] = None,
    csv_mode: Annotated[
        _Mode | None,
        typer.Option(help="A row of it is one image, or three.  [default: image]"),
    ] = None,
    packs: Annotated[
        Path | None,
        typer.Option(help="Scene packs of your own: a YAML file or a folder.", metavar="PATH"),
    ] = None,
    images_per_reference: Annotated[
        int | None, typer.Option(min=1, help="Prompts for each photograph.  [default: 3]")
    ] = None,
    images_per_identity: Annotated[
        int | None, typer.Option(min=1, help="Or prompts for each person, over their photographs.")
    ] = None,
    full_body_ratio: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of full-body prompts; the rest is waist-up.  [default: 1]"
        ),
    ] = None,
    gender_map: Annotated[
        Path | None,
        typer.Option(
            help="JSON: identity to Man or Woman. Without it all are persons.", metavar="JSON"
        ),
    ] = None,
    validation_ids: Annotated[
        Path | None,
        typer.Option(
            help="Text file of the identities for validation, one a line.", metavar="FILE"
        ),
    ] = None,
    memory: Annotated[
        _Memory | None, typer.Option(help="How the models share a GPU.  [default: recipe's]")
    ] = None,
    accept_licences: Annotated[
        bool,
        typer.Option(
            "--accept-licences",
            help="You have read the licences that --plan lists, and accept them. Asked for once.",
        ),
    ] = False,
    seconds_per_image: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Of your GPU, for the hours that --plan estimates.  [default: assumed]"
        ),
    ] = None,
    recipe: opt.Recipe = "synthetic",
    set_: opt.Set = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """Scenes generated from photographs of people, with FLUX and InfiniteYou.

    Each image is compared with the photograph that it was made from, and made again with another
    seed where it is unlike it. Every try is recorded; the same command again resumes.
    """
    grammar_only: dict[str, Any] = {
        "--packs": packs,
        "--images-per-reference": images_per_reference,
        "--images-per-identity": images_per_identity,
        "--full-body-ratio": full_body_ratio,
        "--gender-map": gender_map,
    }
    given = [name for name, value in grammar_only.items() if value is not None]
    if prompts is not None and given:
        raise UsageError(f"--prompts and {given[0]} exclude each other")
    if prompts is None and csv_mode is not None:
        raise UsageError("--csv-mode is about the rows of --prompts, which is missing")
    if images_per_reference is not None and images_per_identity is not None:
        raise UsageError("--images-per-reference and --images-per-identity exclude each other")
    overrides = [f"generate.memory={dumps(memory)}"] if memory else []
    options = RunOptions(
        out, [*overrides, *(set_ or [])], limit, seed, executor, workers, ray_address, plan, json
    )
    built = built_recipe(recipe or "synthetic", options)
    if prompts is not None:
        jobs = _jobs_of_csv(prompts, references, csv_mode or "image", validation_ids)
    else:
        jobs = _jobs_of_grammar(
            references,
            built.recipe.seed,
            packs,
            images_per_reference or 3,
            images_per_identity,
            1.0 if full_body_ratio is None else full_body_ratio,
            gender_map,
            validation_ids,
        )
    if plan:
        from inscene.cli.synthetic_plan import show_plan

        show_plan(built, jobs, options, seconds_per_image)
        return
    _run(built, jobs, references, options, accept_licences)


def _jobs_of_csv(csv: Path, references: Path, mode: _Mode, validation_ids: Path | None) -> Plan:
    from inscene.synthetic.jobs import plan_from_csv
    from inscene.synthetic.prompts.authors_csv import read_authors_csv
    from inscene.synthetic.split import split_by_list

    split = None
    if validation_ids is not None:
        split = split_by_list({row.identity for row in read_authors_csv(csv)}, validation_ids)
    return plan_from_csv(csv, references, mode=mode, split=split)


def _jobs_of_grammar(
    references: Path,
    seed: int,
    packs: Path | None,
    per_reference: int,
    per_identity: int | None,
    full_body_ratio: float,
    gender_map: Path | None,
    validation_ids: Path | None,
) -> Plan:
    from inscene.faces.references import ReferenceFolder
    from inscene.synthetic.jobs import plan_from_grammar
    from inscene.synthetic.prompts.gender import load_gender_map
    from inscene.synthetic.prompts.grammar import Grammar
    from inscene.synthetic.prompts.packs import load_packs, load_words
    from inscene.synthetic.split import split_by_list

    split = None
    if validation_ids is not None:
        split = split_by_list(ReferenceFolder(references).labels, validation_ids)
    return plan_from_grammar(
        references,
        Grammar(load_packs(packs), load_words(), full_body_ratio=full_body_ratio),
        seed=seed,
        per_reference=per_reference,
        per_identity=per_identity,
        genders=load_gender_map(gender_map) if gender_map else None,
        split=split,
    )


def _run(
    built: BuiltRecipe, jobs: Plan, references: Path, options: RunOptions, accept_licences: bool
) -> None:
    from inscene.cli.synthetic_plan import notes_of, problem_lines, require_weights, weights_of
    from inscene.engine import run as engine
    from inscene.synthetic.inputs import inputs_of
    from inscene.weights.licences import require

    inputs = inputs_of(jobs, references)
    if not inputs:
        raise UsageError("there is nothing to generate from", where=str(references))
    require_weights(built)
    planned = engine.plan_inputs(built, inputs, options.out, options.limit)
    require(weights_of(built), accepted=accept_licences)
    for line in [*notes_of(built), *problem_lines(jobs)]:
        say(line)
    execute_plan(planned, options)
