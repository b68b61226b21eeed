"""``inscene restore``"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inscene.cli import method_options as of_method
from inscene.cli import options as opt
from inscene.cli.console import print_json, print_plans, say
from inscene.cli.execute import run_shown
from inscene.errors import ExitCode, InterruptedRunError, UsageError

if TYPE_CHECKING:
    from inscene.restore.photos import PhotoRun, Restored

Source = Annotated[
    str, typer.Argument(metavar="IMAGE|FOLDER|DATASET", help="What to restore; path or URL.")
]
Out = Annotated[str, typer.Option("--out", "-o", help="Folder to write to.")]


def restore(
    source: Source,
    out: Out,
    method: Annotated[
        str, typer.Option(help="Name of a method, or a manifest's path.", metavar="M")
    ] = "face2scene",
    references: of_method.References = None,
    checkpoint: of_method.Checkpoint = None,
    ref_fr: Annotated[
        str | None,
        typer.Option(
            help="Restores the face with the references. Default: faceme.", metavar="NAME"
        ),
    ] = None,
    blind: Annotated[
        str | None,
        typer.Option(
            help="Restores the face where there are no references. Default: none, and no face is "
            "looked at.",
            metavar="NAME",
        ),
    ] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(help="1 is none. Default: the checkpoint's.")
    ] = None,
    colour_fix: Annotated[
        str | None, typer.Option(help="wavelet, adain or none. Default: the checkpoint's.")
    ] = None,
    upscale: Annotated[int, typer.Option(min=1, help="Output side / side of the image.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 … Default: auto.")] = None,
    option: of_method.OfMethod = None,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Also write NAME.compare.png: before, after.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Restore again what has been restored already.")
    ] = False,
    limit: opt.Limit = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """Restore degraded photographs.

    Images become PNGs without metadata, and restored.jsonl says how each was restored; a dataset
    becomes a dataset. What has been done is not done again.
    """
    from inscene.bench.methods import absolute, find_method
    from inscene.restore.datasets import are_rows
    from inscene.restore.photos import PhotoRun, inputs_beside

    own = {
        "ref_fr": ref_fr,
        "blind": blind,
        "guidance_scale": guidance_scale,
        "colour_fix": colour_fix,
        "device": device,
    }
    options = of_method.method_options(option, checkpoint, references, own)
    method = absolute(method)
    found = find_method(method, options)
    of_method.check_known(options, [found])
    inputs = inputs_beside(source, out)
    folder = None if references is None else Path(references).expanduser()
    if are_rows(inputs):
        for_images = {
            "--upscale": upscale > 1, "--side-by-side": side_by_side, "--overwrite": overwrite
        }  # fmt: skip
        _must_have_use(for_images, "images, and this is a dataset", source)
        _restore_dataset(
            source, out, method, options, folder, limit, plan, json,
            (executor, workers, ray_address),
        )  # fmt: skip
        return
    for_datasets = {
        "--workers": workers, "--ray-address": ray_address,
        "--executor": executor is not opt.Executor.auto,
    }  # fmt: skip
    _must_have_use(for_datasets, "datasets, and these are images", source)
    run = PhotoRun(tuple(inputs), found, out, folder, upscale, side_by_side, overwrite, limit)
    if plan:
        _print_photo_plan(run, json)
        return
    _restore_photos(run, json)


def _must_have_use(options: dict[str, Any], what: str, source: str) -> None:
    if useless := [name for name, given in options.items() if given]:
        raise UsageError(f"{useless[0]} is for {what}", where=source)


def _restore_photos(run: PhotoRun, as_json: bool) -> None:
    from inscene.bench.methods import require
    from inscene.engine.progress import open_display
    from inscene.restore.photos import restore_photos

    require(run.method)
    if remark := run.method.remark():
        say(remark)
    display = open_display(f"restore {run.method.name}", len(run.work()))
    try:
        result = restore_photos(run, display)
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted", next_step="The same command goes on.") from None
    finally:
        display.close()
    if as_json:
        print_json(asdict(result))
    else:
        _print_result(result)
    if result.errors:
        raise typer.Exit(ExitCode.PARTIAL)


def _print_result(result: Restored) -> None:
    from inscene.cli.remarks import print_notes

    already = f" ({result.already} there already)" if result.already else ""
    failed = sum(result.errors.values())
    images = "1 image" if result.inputs == 1 else f"{result.inputs} images"
    print(f"{result.out}: {images} = {result.kept} restored{already} + {failed} errors")
    print_notes(result.notes)
    for reason, count in sorted(result.errors.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {count:>6}  error: {reason}")


def _print_photo_plan(run: PhotoRun, as_json: bool) -> None:
    from inscene.bench.methods import describe, what_is_missing

    work = run.work()
    facts = {
        "method": run.method.name,
        "inputs": len(work),
        "out": run.out,
        "what": describe(run.method),
        "missing": what_is_missing(run.method),
        "outputs": [name for _, name in work],
    }
    if as_json:
        print_json(facts)
        return
    print(f"{run.method.name}: {len(work)} images → {run.out}")
    for line in describe(run.method):
        print(f"  {line}")
    for line in what_is_missing(run.method):
        print(f"  missing: {line}")


def _restore_dataset(
    source: str,
    out: str,
    method: str,
    options: dict[str, Any],
    references: Path | None,
    limit: int | None,
    plan_only: bool,
    as_json: bool,
    who: tuple[opt.Executor, int | None, str | None],
) -> None:
    from inscene.bench.methods import find_method, require
    from inscene.cli.remarks import print_restored
    from inscene.engine import run as engine
    from inscene.restore.datasets import plan_restore

    plan = plan_restore(source, out, method, options, references=references, limit=limit)
    if plan_only:
        print_plans([plan], as_json)
        return
    found = find_method(method, options)
    require(found)
    if remark := found.remark():
        say(remark)
    executor, workers, ray_address = who
    summary = run_shown(plan, engine.Workers(executor.value, workers, ray_address), "restore")
    print_restored([summary], as_json)
    if summary.errors:
        raise typer.Exit(ExitCode.PARTIAL)
