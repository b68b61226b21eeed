"""``inscene bench`` of a suite of the kind ``fadex_similarity``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from inscene.cli.console import print_json, say
from inscene.errors import ExitCode, InterruptedRunError, UsageError

if TYPE_CHECKING:
    from inscene.bench.fadex_study.run import Planned
    from inscene.bench.suites import Suite


def bench_fadex_similarity(
    suite: Suite,
    out: str,
    checkpoint: str | None,
    *,
    dataset: str | None,
    limit: int | None,
    plan_only: bool,
    as_json: bool,
    foreign: Mapping[str, object],
) -> None:
    """``foreign``: options of ``bench`` that this kind of suite has no use for, and what was given.
    Exits with 1 where an image failed."""
    from inscene.bench.fadex_study import run as study
    from inscene.engine.progress import open_display

    if useless := [name for name, value in foreign.items() if value]:
        raise UsageError(
            f"the suite {suite.name!r} measures a checkpoint's FaDeX, and takes no {useless[0]}",
            next_step="It takes --checkpoint, --dataset, --limit, --plan and --json.",
        )
    if checkpoint is None:
        raise UsageError(
            f"the suite {suite.name!r} measures a checkpoint's FaDeX, and none is given",
            next_step="Give --checkpoint C: a folder, OWNER/NAME on the Hub, or face2scene-small, "
            "which ships.",
        )
    planned = study.plan(suite, out, checkpoint, dataset=dataset, limit=limit)
    if plan_only:
        _print_plan(planned, as_json)
        return
    display = open_display(suite.name, planned.study.images)
    try:
        report = study.run(planned, display)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "interrupted", next_step="Nothing is written before the end: run it again."
        ) from None
    files = study.write(report, out)
    from inscene.bench.fadex_study.report import as_text, document

    if as_json:
        print_json({**document(report, matrices=False), "files": files})
    else:
        print(as_text(report))
        print("\n".join(["", *files]))
    if errors := report.measured.looked.errors:
        counted = ", ".join(f"{count} {reason}" for reason, count in sorted(errors.items()))
        say(f"images that failed: {counted}; {files[0]} names them")
        raise typer.Exit(ExitCode.PARTIAL)


def _print_plan(planned: Planned, as_json: bool) -> None:
    study = planned.study
    if as_json:
        facts = {"suite": planned.suite, "dataset": planned.dataset, "out": planned.out}
        print_json(
            {
                **facts,
                "checkpoint": planned.checkpoint,
                "inputs": len(planned.inputs),
                "study": study.model_dump(mode="json"),
            }
        )
        return
    print(f"{planned.suite}: {len(planned.inputs)} images of {planned.dataset} → {planned.out}")
    print(f"  the first {study.images} with a face, as {study.detector} finds it")
    print(f"  each under {', '.join(study.presets)}, read by FaDeX of {planned.checkpoint}")
