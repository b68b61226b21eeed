"""Datasets of a chosen size: one record a shard, image cells of random bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from inscene.dataset.ledger import Ledger
from inscene.dataset.shards import Shard, ShardWriter
from inscene.dataset.store import LocalStore
from inscene.schema import SCENES


def large_dataset(folder: Path, *, shards: int, rows: int, row_bytes: int) -> Path:
    store = LocalStore(folder)
    plan = [
        Shard(f"{number:016x}", f"train-{number:05d}", "train",
              tuple(f"{number}-{row}" for row in range(rows)))
        for number in range(shards)
    ]  # fmt: skip
    ledger = Ledger(store)
    ledger.begin({"makes": "scenes", "steps": []}, plan)
    for shard in plan:
        with ShardWriter(store, shard, SCENES, ledger.recipe_hash()) as writer:
            for name in shard.inputs:
                data = hashlib.shake_128(name.encode()).digest(row_bytes)
                cell = {"bytes": data, "path": f"{name}.png"}
                writer.keep([{"sample_id": name, "split": "train", "image": cell,
                              "sha256": hashlib.sha256(data).hexdigest(),
                              "provenance": json.dumps({"recipe": "x"})}])  # fmt: skip
            writer.commit()
    return folder
