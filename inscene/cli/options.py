"""Options that several commands share."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer


class Executor(enum.StrEnum):
    auto = "auto"
    inline = "inline"
    process = "process"
    ray = "ray"


Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...", help="Image, folder of images, dataset or Parquet file; path or URL."
    ),
]
Licence = Annotated[
    str | None,
    typer.Option(help="Licence of all photos, where a sidecar or table says none.", metavar="TEXT"),
]
Consent = Annotated[
    str | None,
    typer.Option(help="Basis of the consent of all people shown, likewise.", metavar="TEXT"),
]
SidecarFile = Annotated[
    Path | None,
    typer.Option(
        help="CSV, JSON or YAML with licence and consent by sample id. "
        "[default: sidecar.* in SOURCE]",
        metavar="FILE",
    ),
]
Out = Annotated[str, typer.Option("--out", "-o", help="Dataset folder to write; path or URL.")]
OptionalOut = Annotated[
    str | None, typer.Option("--out", "-o", help="Dataset folder to write; path or URL.")
]
Recipe = Annotated[
    str | None, typer.Option(help="Recipe file, or the name of a shipped recipe.", metavar="FILE")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe; repeatable."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Take only the first N inputs (by name).")]
Seed = Annotated[int | None, typer.Option(help="Seed of every random draw.  [default: recipe's]")]
ExecutorOption = Annotated[
    Executor,
    typer.Option("--executor", help="Who works; auto: inline for few inputs, else processes."),
]
WorkerCount = Annotated[int | None, typer.Option("--workers", min=1, help="Default: one a CPU.")]
TrainWorkers = Annotated[
    int, typer.Option("--workers", min=1, help="Processes that train together, by Ray Train.")
]
RayAddress = Annotated[str | None, typer.Option(help="Ray cluster to run on, e.g. auto.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Say what would be done, and stop.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Dataset = Annotated[str, typer.Argument(help="Dataset folder or URL.")]
OutFile = Annotated[
    Path | None, typer.Option("--out", "-o", help="File to write. Default: stdout.")
]
