"""A plan's jobs as inputs of a run: the file of a job is the photo that it starts from."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

from inscene.dataset.sources import Input, image_input
from inscene.dataset.store import readable_name
from inscene.recipe import canonical_json
from inscene.synthetic.jobs import Job, Plan


def inputs_of(plan: Plan, references: Path) -> list[Input]:
    """One input a job, and one for each that is lost to a reference that cannot be used: the run
    then says so of it, and the number of inputs is the number of images that were asked for."""
    source = readable_name(Path(os.path.abspath(references)).name)
    inputs = [
        image_input(
            job.sample_id,
            job.split,
            references / job.reference,
            {**_columns(job), "source": source},
        )
        for job in plan.jobs
    ]
    for problem in plan.problems:
        folder = references / problem.identity
        file = (folder if folder.is_dir() else references) / problem.file_id
        stem = PurePosixPath(problem.file_id).with_suffix("").as_posix()
        split = plan.split.split_of(problem.identity)
        for number in range(problem.jobs_lost):
            name = f"{problem.identity}/{stem}-unusable-{number}"
            inputs.append(image_input(name, split, file, {"source": source}))
    return inputs


def _columns(job: Job) -> dict[str, Any]:
    slots = {**job.slots, **{name: value for name, value in _origin(job) if value is not None}}
    return {
        "job_id": job.id,
        "prompt": job.prompt,
        "identity": job.identity,
        "file_id": job.file_id,
        "shot": job.shot,
        "slots": canonical_json(slots),
        "repeat": job.repeat,
    }


def _origin(job: Job) -> tuple[tuple[str, str | None], ...]:
    """Which words the slots are of."""
    return ("pack", job.pack), ("grammar", job.grammar)
