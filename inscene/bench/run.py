"""``bench``: restore with each method, score what came out; compute only what is not there yet.

``OUT/SUITE--METHOD/restored``     the method's images
``OUT/SUITE--METHOD/scores-HASH``  results of the metrics that were computed in one pass
``OUT/SUITE--METHOD/asked.json``   what was asked for last, where the pairs are on this machine, and
                                   which metrics cannot be had here; no part of the results
``OUT/SUITE--reference``           the clean images' side of metrics of sets (FID)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from inscene.bench import reference_cache as cache
from inscene.bench.methods import absolute, find_method, require
from inscene.bench.suites import Suite, deviations
from inscene.bench.views import ViewName
from inscene.dataset.hub_source import without_revision
from inscene.dataset.ledger import Ledger
from inscene.dataset.store import is_url, open_store
from inscene.engine import run as engine
from inscene.engine.registry import build
from inscene.errors import InsceneError, MachineError, UsageError
from inscene.quality.available import why_unavailable
from inscene.quality.registry import find_metric
from inscene.recipe import load_recipe

REFERENCE = "reference"
ASKED = "asked.json"

Execute = Callable[[engine.Plan, str], engine.Summary]
"""Runs a plan and shows it under a title."""


@dataclass(frozen=True)
class Bench:
    """What is measured."""

    name: str
    """Of the suite, or of the dataset."""
    dataset: str
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    out: str
    view: ViewName = "scene"
    reference: bool = True
    split: str | None = None
    limit: int | None = None
    references: str | None = None
    """Folder of photographs of the people, for methods that restore with them."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of methods that have such."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", tuple(absolute(one) for one in self.methods))
        names = [find_method(method).name for method in self.methods]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(
                f"two methods are named {repeated!r}",
                next_step="Rename one folder, or run them apart.",
            )
        if not self.methods:
            raise UsageError("no method to run", next_step="Give --method NAME.")
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            raise UsageError("name at least one metric, and each once", where="--metrics")
        for key in self.metrics:
            metric = find_metric(key)
            if not self.reference and (metric.reference or metric.of == "set"):
                raise UsageError(f"{key} compares with clean images, and there are none here")

    @property
    def unavailable(self) -> dict[str, InsceneError]:
        """Metrics that cannot be computed here, and why."""
        why = {key: why_unavailable(find_metric(key)) for key in self.metrics}
        return {key: error for key, error in why.items() if error is not None}

    def folder(self, name: str) -> str:
        return f"{self.out.rstrip('/')}/{_folder_name(self.name)}--{_folder_name(name)}"


def bench_of_dataset(
    dataset: str,
    methods: Sequence[str],
    metrics: Sequence[str],
    out: str,
    limit: int | None = None,
) -> Bench:
    """Whole scenes of any pairs. Raises :class:`UsageError` for unknown methods or metrics."""
    place = dataset.rstrip("/") if is_url(dataset) else os.path.abspath(dataset)
    name = PurePosixPath(without_revision(place)).name
    return Bench(name, dataset, tuple(methods), tuple(metrics), out, limit=limit)


def bench_of_suite(
    suite: Suite,
    out: str,
    *,
    dataset: str | None = None,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    limit: int | None = None,
) -> Bench:
    """A suite; what is given here takes the place of what it names."""
    return Bench(
        suite.name,
        dataset or suite.place(),
        tuple(methods or suite.methods),
        tuple(metrics or suite.metrics),
        out,
        suite.view,
        suite.reference,
        None if dataset else suite.dataset.split,
        limit,
    )


def stuck_methods(bench: Bench) -> dict[str, MachineError]:
    """Methods that cannot run on this machine, and why; the others can."""
    stuck = {}
    for method in bench.methods:
        try:
            require(find_method(method, bench.options))
        except MachineError as error:
            stuck[method] = error
    return stuck


def run_bench(
    bench: Bench, execute: Execute, without: Collection[str] = ()
) -> list[engine.Summary]:
    """Restore and score; one summary a method. Done work is not done again; what was interrupted
    goes on. Metrics that cannot be had are recorded with their reasons. ``without``: methods to
    leave out."""
    unavailable = bench.unavailable
    metrics = [key for key in bench.metrics if key not in unavailable]
    summaries = []
    sets = [key for key in metrics if find_metric(key).of == "set"]
    if sets:
        _score(bench, REFERENCE, REFERENCE, sets, _remembered(execute))
    for method in (one for one in bench.methods if one not in without):
        name = find_method(method).name
        summaries.append(execute(plan_restore(bench, method), f"bench {name}"))
        restored = f"{bench.folder(name)}/restored"
        _score(bench, name, restored, metrics, execute)
        _record_asked(bench, name, unavailable)
    return summaries


def plan_restore(bench: Bench, method: str) -> engine.Plan:
    """What running one method would do."""
    values: dict[str, Any] = {"restore.method": method, "restore.suite": bench.name}
    one = find_method(method)
    if known := sorted(one.options & set(bench.options)):
        values["restore.options"] = {name: bench.options[name] for name in known}
    # To others they are nothing, and what they have restored is not to depend on them.
    if bench.references is not None and one.uses_references:
        values["restore.references"] = bench.references
    if not bench.reference:
        values["restore.lq"] = "image"
    return _plan("bench", values, bench, f"{bench.folder(one.name)}/restored")


def _score(bench: Bench, name: str, outputs: str, metrics: list[str], execute: Execute) -> None:
    """Compute those metrics that are not there, after finishing what was interrupted."""
    folder = bench.folder(name)
    have: set[str] = set()
    for keys, done in _scored(folder).items():
        if not done or all(why_unavailable(find_metric(key)) is None for key in keys):
            plan = _plan_score(bench, name, outputs, keys)
            # Raises where they are scores of other outputs, other pairs or another version.
            Ledger(open_store(plan.out)).begin(
                plan.built.fingerprint, [shard for shard, _ in plan.shards]
            )
            if not done:
                execute(plan, f"scores {name}")
        have |= set(keys)
    if missing := tuple(key for key in metrics if key not in have):
        execute(_plan_score(bench, name, outputs, missing), f"scores {name}")


def _remembered(execute: Execute) -> Execute:
    """The clean images' features are the same for every bench of a dataset: a run that has been
    done for another ``--out`` is taken from there."""

    def run(plan: engine.Plan, title: str) -> engine.Summary:
        if is_url(plan.out):
            return execute(plan, title)
        kept, out = cache.place_of(plan), Path(plan.out)
        if kept.is_dir() and not out.exists():
            cache.copy(kept, out)
        summary = execute(plan, title)  # of a complete copy nothing is left to do
        if not kept.is_dir():
            cache.copy(out, kept)
        return summary

    return run


def _plan_score(bench: Bench, name: str, outputs: str, metrics: tuple[str, ...]) -> engine.Plan:
    metrics = tuple(sorted(metrics))  # as the run's record has them: one set, one folder
    values: dict[str, Any] = {
        "take_output.method": name,
        "take_output.outputs": outputs,
        "view.of": bench.view,
        "score.suite": bench.name,
        "score.metrics": list(metrics),
        "score.reference": bench.reference,
    }
    digest = hashlib.sha256(",".join(metrics).encode()).hexdigest()[:8]
    return _plan("bench-score", values, bench, f"{bench.folder(name)}/scores-{digest}")


def _scored(folder: str) -> dict[tuple[str, ...], bool]:
    """Sets of metrics that have been begun, and whether they are done."""
    store = open_store(folder)
    found = {}
    for name in store.list("scores-*/run/recipe.json"):
        ledger = Ledger(open_store(store.describe(name.removesuffix("/run/recipe.json"))))
        steps = {step["step"]: step for step in ledger.fingerprint()["steps"]}
        done = all(record is not None for _, record in ledger.records())
        found[tuple(steps["score"]["metrics"])] = done
    return found


def _plan(recipe_name: str, values: dict[str, Any], bench: Bench, folder: str) -> engine.Plan:
    overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    recipe, source = load_recipe(recipe_name, overrides)
    return engine.plan(build(recipe, source), [bench.dataset], folder, bench.limit, bench.split)


def _record_asked(bench: Bench, name: str, unavailable: dict[str, InsceneError]) -> None:
    facts = {
        "dataset": bench.dataset if is_url(bench.dataset) else os.path.abspath(bench.dataset),
        "metrics": list(bench.metrics),
        "unavailable": {
            key: {"reason": error.what, "next_step": error.next_step}
            for key, error in unavailable.items()
        },
    }
    store = open_store(bench.folder(name))
    store.replace(ASKED, (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode())


def deviations_of(suite: Suite, plan: engine.Plan) -> list[str]:
    """In words, where the planned inputs are not what the suite is known to have."""
    ids = [entry.id.rpartition("@")[0] or entry.id for _, inputs in plan.shards for entry in inputs]
    return [str(one) for one in deviations(suite, ids)]


def _folder_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"
