"""``inscene degrade``"""

from __future__ import annotations

from json import dumps
from typing import Annotated

import typer

from inscene.cli import options as opt
from inscene.cli.execute import RunOptions, execute
from inscene.cli.unbuilt import not_built


def degrade(
    source: opt.Sources,
    out: opt.Out,
    profile: Annotated[
        str | None, typer.Option(help="s3diff, realesrgan, faceme, or a file.", metavar="NAME")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="One fixed degradation: d1, d2, d3 or d4.", metavar="NAME")
    ] = None,
    versions: Annotated[
        int | None, typer.Option(min=1, help="Independent degradations of each image.")
    ] = None,
    varying_blur: Annotated[
        bool, typer.Option("--varying-blur", help="First blur grows towards the corners.")
    ] = False,
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
    if preset is not None:
        raise not_built("degrade --preset")
    if varying_blur:
        raise not_built("degrade --varying-blur")
    overrides = [
        f"degrade.{key}={dumps(value)}"
        for key, value in (("profile", profile), ("versions", versions))
        if value is not None
    ]
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
