"""``inscene degrade``"""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from inscene.cli import options as opt
from inscene.cli.execute import RunOptions, execute
from inscene.errors import UsageError


def degrade(
    source: opt.Sources,
    out: opt.OptionalOut = None,
    profile: Annotated[
        str | None,
        typer.Option(help="What operators are drawn from: s3diff, realesrgan, faceme, or a file."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="One fixed degradation: d1, d2, d3 or d4.", metavar="NAME")
    ] = None,
    operator: Annotated[
        str | None,
        typer.Option(help="One fixed degradation: an operator or a pair's record, as JSON."),
    ] = None,
    operator_pool: Annotated[
        str | None,
        typer.Option(help="Share K operators, each between two images or more.", metavar="K|auto"),
    ] = None,
    versions: Annotated[
        int | None, typer.Option(min=1, help="Independent degradations of each image.")
    ] = None,
    varying_blur: Annotated[
        bool, typer.Option("--varying-blur", help="First blur grows towards the corners.")
    ] = False,
    psf_field: Annotated[
        str | None,
        typer.Option(help="First blur varies as the kernels in an .npz file.", metavar="FILE"),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(
            help="Only draw a labelled sheet of degradations of one image.", metavar="PNG"
        ),
    ] = None,
    recipe: opt.Recipe = "degrade",
    set_: opt.Set = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """LQ–HQ pairs from clean images, by the two-order Real-ESRGAN chain.

    Each row records its operator, which reproduces the LQ image bit for bit.
    """
    if grid is not None:
        _draw_sheet(source, grid, seed, profile, preset or operator)
        return
    if out is None:
        raise UsageError("--out is missing", next_step="Name the dataset folder to write.")
    if preset is not None and operator is not None:
        raise UsageError("--preset and --operator exclude each other")
    if varying_blur and psf_field is not None:
        raise UsageError("--varying-blur and --psf-field exclude each other")
    if psf_field is not None and not psf_field.endswith(".npz"):
        raise UsageError("--psf-field takes an .npz file", where=psf_field)
    values: dict[str, object] = {
        "profile": profile,
        "versions": versions,
        "operator": preset or operator,
        "operator_pool": _pool_size(operator_pool),
        "varying_blur": psf_field or ("corners" if varying_blur else None),
    }
    overrides = [f"degrade.{key}={dumps(value)}" for key, value in values.items() if value]
    execute(
        recipe or "degrade",
        source,
        RunOptions(
            out,
            [*overrides, *(set_ or [])],
            limit,
            seed,
            executor,
            workers,
            ray_address,
            plan,
            json,
        ),
    )


def _pool_size(given: str | None) -> int | str | None:
    if given is None or given == "auto":
        return given
    if not given.isdecimal() or int(given) < 1:
        raise UsageError(f"--operator-pool takes a number or auto, not {given!r}")
    return int(given)


def _draw_sheet(
    source: list[str], grid: Path, seed: int | None, profile: str | None, preset: str | None
) -> None:
    from inscene.degrade.sheet import write_sheet

    if len(source) != 1:
        raise UsageError(f"--grid draws one image, not {len(source)}")
    write_sheet(source[0], grid, seed=seed or 0, profile=profile, preset=preset)
    print(grid)
