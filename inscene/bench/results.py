"""What bench runs have written, read back: one method on one suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

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
    samples: int
    """Inputs of the run, those that failed included."""
    frame: pd.DataFrame
    """Long form: a row for each sample and metric. Columns ``sample_id``, ``version``,
    ``identity``, ``metric``, ``value`` (None where there is none), ``status`` (``ok``, or why there
    is no value), ``restore_s`` and ``features`` (of metrics of sets)."""
    failures: dict[str, int]
    """Why samples have no output: reason -> how many."""
    facts: dict[str, Any]
    """What decided the scores: the run's fingerprint."""
    location: str


def load_results(locations: Sequence[str]) -> list[Results]:
    """The results of some folders: each either one that ``bench`` wrote with ``--out``, or a
    single method's folder inside it. Raises :class:`UsageError` where there are none, or where a
    method occurs twice on a suite."""
    found: dict[tuple[str, str], Results] = {}
    for location in locations:
        for store in _stores(location):
            one = _load(store)
            if (one.suite, one.method) in found:
                raise UsageError(
                    f"two results of {one.method!r} on {one.suite!r}",
                    where=store.root,
                    next_step="Give each method once.",
                )
            found[one.suite, one.method] = one
    return list(found.values())


def _stores(location: str) -> list[Store]:
    store = open_store(location)
    if Ledger(store).exists():
        return [store]
    names = [name.rpartition("/run/")[0] for name in store.list("*/run/recipe.json")]
    if not names:
        raise UsageError(
            "holds no results", where=location, next_step="Name the folder of inscene bench --out."
        )
    return [open_store(store.describe(name)) for name in names]


def _load(store: Store) -> Results:
    ledger = Ledger(store)
    fingerprint = ledger.fingerprint()
    if fingerprint["makes"] != "results":
        raise UsageError(
            "is not a folder of results", where=store.root, next_step="Run inscene bench on it."
        )
    records = [record for _, record in ledger.records() if record is not None]
    if len(records) < len(ledger.shards()):
        raise UsageError(
            "is unfinished", where=store.root, next_step="Run the same inscene bench again."
        )
    tables = [read_columns(store, shard.data_file, _COLUMNS) for shard in ledger.shards()]
    steps = {step["step"]: step for step in fingerprint["steps"]}
    failures: dict[str, int] = {}
    for record in records:
        for reason, count in {**record.dropped, **record.errors}.items():
            failures[reason] = failures.get(reason, 0) + count
    return Results(
        suite=str(steps["score"]["suite"]),
        method=str(steps["restore"]["method"]),
        samples=sum(record.inputs for record in records),
        frame=pa.concat_tables(tables).to_pandas(),
        failures=failures,
        facts=fingerprint,
        location=store.root,
    )
