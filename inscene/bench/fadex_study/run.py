"""``inscene bench --suite fadex-similarity``: measure, and write what was found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inscene.bench.fadex_study.settings import Study
from inscene.bench.suites import Suite
from inscene.dataset.sources import Input, list_inputs
from inscene.dataset.store import open_store
from inscene.doctor.machine import version_of
from inscene.errors import MachineError, UsageError
from inscene.quiet import only_errors

if TYPE_CHECKING:
    from inscene.bench.fadex_study.report import Report
    from inscene.engine.progress import Display

NAME = "fadex-similarity"
"""Of every file that is written; the ending says what it is."""
_PACKAGES = ("torch", "diffusers", "peft", "safetensors", "transformers")


@dataclass(frozen=True)
class Planned:
    """What is going to be looked at."""

    suite: str
    dataset: str
    study: Study
    inputs: tuple[Input, ...]
    checkpoint: str
    out: str


def plan(
    suite: Suite,
    out: str,
    checkpoint: str,
    *,
    dataset: str | None = None,
    limit: int | None = None,
) -> Planned:
    """``dataset`` in place of the suite's; ``limit``: only its first images, by name. Of a suite's
    own dataset only its split. Raises ``UsageError`` where there are no images, or ``out`` is where
    they are: the next study would look at this one's pictures."""
    place = dataset or suite.place()
    if os.path.abspath(out) == os.path.abspath(place):
        raise UsageError(
            "is both --dataset and --out", where=out, next_step="Choose another --out."
        )
    inputs = list_inputs([place])
    if dataset is None and suite.dataset.split is not None:
        inputs = [one for one in inputs if one.split in (None, suite.dataset.split)]
    study = suite.study or Study()
    return Planned(suite.name, place, study, tuple(inputs[:limit]), checkpoint, out)


def run(planned: Planned, display: Display | None = None) -> Report:
    """Raises as :func:`~inscene.bench.fadex_study.codes.load_encoder` and
    :func:`~inscene.bench.fadex_study.measure.measure`."""
    if missing := [name for name in _PACKAGES if version_of(name) is None]:
        raise MachineError(
            f"FaDeX needs {', '.join(missing)}", next_step="Run: pip install 'inscene[restore]'"
        )
    with only_errors("bitsandbytes"):
        from inscene.bench.fadex_study.codes import load_encoder
        from inscene.bench.fadex_study.measure import measure
    from inscene.bench.fadex_study.report import Report

    encoder = load_encoder(planned.checkpoint)
    measured = measure(planned.study, planned.inputs, encoder, display)
    return Report(planned.suite, planned.dataset, planned.study, encoder, measured)


def write(report: Report, out: str) -> list[str]:
    """The files, by their full names. One of an earlier study is replaced."""
    from inscene.bench.fadex_study.figure import both
    from inscene.bench.fadex_study.page import html
    from inscene.bench.fadex_study.png import png
    from inscene.bench.fadex_study.report import as_csv, as_json

    store = open_store(out)
    embedding, features = report.measured.codes
    contents = {
        f"{NAME}.json": as_json(report).encode(),
        f"{NAME}.csv": as_csv(report).encode(),
        f"{NAME}.html": html(report).encode(),
        f"{NAME}.png": png(both(embedding, report.presets)),
        f"{NAME}-{features.key}.png": png(both(features, report.presets)),
    }
    for name, content in contents.items():
        store.replace(name, content)
    return [store.describe(name) for name in contents]
