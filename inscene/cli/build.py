"""``inscene build …``"""

from __future__ import annotations

import typer

from inscene.cli import options as opt
from inscene.cli import unbuilt
from inscene.cli.execute import RunOptions, execute

app = typer.Typer(help="Make a dataset of scenes, or of face pairs.", no_args_is_help=True)


@app.command()
def gallery(
    source: opt.Sources,
    out: opt.Out,
    recipe: opt.Recipe = "gallery",
    set_: opt.Set = None,
    limit: opt.Limit = None,
    seed: opt.Seed = None,
    executor: opt.ExecutorOption = opt.Executor.auto,
    workers: opt.WorkerCount = None,
    ray_address: opt.RayAddress = None,
    plan: opt.PlanOnly = False,
    json: opt.Json = False,
) -> None:
    """Scenes from real photographs.

    Every photo ends as a kept scene or with a reason; the same command again resumes.
    """
    execute(
        recipe or "gallery",
        source,
        RunOptions(out, set_ or [], limit, seed, executor, workers, ray_address, plan, json),
    )


unbuilt.register_group(app, "build")
