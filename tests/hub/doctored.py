"""Datasets whose tables were changed behind their records: for looking at cells, not for verify."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from inscene.dataset.ledger import Ledger
from inscene.dataset.store import LocalStore

Row = dict[str, Any]
KNOWN = {"licence": "CC0-1.0", "consent": "public domain"}


def doctored(
    dataset: Path,
    out: Path,
    change: Callable[[int, Row], None] | None = None,
    *,
    columns: dict[str, pa.Array] | None = None,
    terms: bool = True,
) -> LocalStore:
    """A copy in which every row knows its licence and consent, with rows changed by their
    position, and columns added to the first file."""
    shutil.copytree(dataset, out)
    store, position = LocalStore(out), 0
    for number, shard in enumerate(Ledger(store).shards()):
        path = out / shard.data_file
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            row.update(KNOWN if terms else {})
            if change is not None:
                change(position, row)
            position += 1
        table = pa.Table.from_pylist(rows, schema=table.schema)
        if number == 0:
            for name, values in (columns or {}).items():
                table = table.append_column(name, values)
        pq.write_table(table, path)
        record = out / shard.record_file
        facts = json.loads(record.read_text())
        facts["files"][shard.data_file]["bytes"] = path.stat().st_size
        record.write_text(json.dumps(facts))
    return store
