"""What bench runs have written, read back: one method on one suite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from inscene.bench.run import ASKED, REFERENCE
from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import read_columns
from inscene.dataset.store import Store, open_store
from inscene.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = [
    "sample_id", "version", "identity", "metric", "value", "status", "restore_s", "features",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Results:
    suite: str
    method: str
    """``reference`` is the clean images' side of metrics of sets, and no method."""
    samples: int
    """Inputs of the run, those that failed included."""
    frame: pd.DataFrame
    """Long form: a row for each sample and metric. Columns ``sample_id``, ``version``,
    ``identity``, ``metric``, ``value`` (None where there is none), ``status`` (``ok``, or why there
    is no value), ``restore_s`` and ``features`` (of metrics of sets)."""
    failures: dict[str, int]
    """Why samples have no output: reason -> how many."""
    facts: dict[str, Any]
    """What decided the outputs and the scores: the fingerprints of the runs."""
    location: str
    dataset: str | None
    """Where the pairs were when it was run, for looking at them."""
    unavailable: dict[str, dict[str, str]]
    """Metrics that were asked for and could not be had: ``reason`` and ``next_step``."""


def load_results(locations: Sequence[str]) -> list[Results]:
    """The results of some folders: each either one that ``bench`` wrote with ``--out``, or a
    single method's folder inside it. Raises :class:`UsageError` where there are none, or where a
    method occurs twice on a suite."""
    found: dict[tuple[str, str], Results] = {}
    for location in locations:
        for store in _folders(location):
            one = _load(store)
            if (one.suite, one.method) in found:
                raise UsageError(
                    f"two results of {one.method!r} on {one.suite!r}",
                    where=store.root,
                    next_step="Give each method once.",
                )
            found[one.suite, one.method] = one
    return list(found.values())


def _folders(location: str) -> list[Store]:
    store = open_store(location)
    for depth in ("", "*/"):
        names = [
            name
            for pattern in ("restored", "scores-*")
            for name in store.list(f"{depth}{pattern}/run/recipe.json")
        ]
        folders = sorted(
            {name.removesuffix("/run/recipe.json").rpartition("/")[0] for name in names}
        )
        if folders:
            return [open_store(store.describe(folder)) if folder else store for folder in folders]
    raise UsageError(
        "holds no results", where=location, next_step="Name the folder of inscene bench --out."
    )


def _load(store: Store) -> Results:
    runs = {
        name.removesuffix("/run/recipe.json"): open_store(
            store.describe(name.removesuffix("/run/recipe.json"))
        )
        for name in [
            *store.list("restored/run/recipe.json"),
            *store.list("scores-*/run/recipe.json"),
        ]
    }
    scores = {name: run for name, run in runs.items() if name != "restored"}
    if not scores:
        raise _unfinished(store)
    for run in runs.values():
        if any(record is None for _, record in Ledger(run).records()):
            raise _unfinished(store)
    fingerprints = {name: Ledger(run).fingerprint() for name, run in runs.items()}
    steps = {step["step"]: step for step in fingerprints[min(scores)]["steps"]}
    counted = Ledger(runs.get("restored", scores[min(scores)]))
    records = [record for _, record in counted.records() if record is not None]
    failures: dict[str, int] = {}
    for record in records:
        for reason, count in {**record.dropped, **record.errors}.items():
            failures[reason] = failures.get(reason, 0) + count
    asked = {} if store.size(ASKED) is None else json.loads(store.read(ASKED))
    unavailable = asked.get("unavailable", {})
    method = str(steps["take_output"]["method"])
    return Results(
        suite=str(steps["score"]["suite"]),
        method=method,
        samples=sum(record.inputs for record in records),
        frame=_frame(list(scores.values()), {} if method == REFERENCE else unavailable),
        failures=failures,
        facts=fingerprints,
        location=store.root,
        dataset=asked.get("dataset"),
        unavailable=unavailable,
    )


def _frame(runs: list[Store], unavailable: dict[str, dict[str, str]]) -> pd.DataFrame:
    import pandas as pd

    tables = [
        read_columns(run, shard.data_file, _COLUMNS)
        for run in runs
        for shard in Ledger(run).shards()
    ]
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    scored = set(frame["metric"])
    samples = frame.drop_duplicates(["sample_id", "version"])
    missing = [
        samples.assign(metric=key, value=None, status="weights_missing", features=None)
        for key in unavailable
        if key not in scored
    ]
    return pd.concat([frame, *missing], ignore_index=True) if missing else frame


def _unfinished(store: Store) -> UsageError:
    return UsageError(
        "is unfinished", where=store.root, next_step="Run the same inscene bench again."
    )
