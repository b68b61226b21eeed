"""The restored images of a finished run, by sample."""

from __future__ import annotations

from typing import Any

from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import open_parquet, read_group
from inscene.dataset.store import open_store
from inscene.recipe import content_hash


class Outputs:
    """Reads one row group at a time: samples come in the order in which they are stored."""

    def __init__(self, location: str) -> None:
        self._store = open_store(location)
        self._places: dict[tuple[str, int], tuple[str, int, int]] = {}
        for shard in Ledger(self._store).shards():
            with self._store.open(shard.data_file) as file, open_parquet(file) as parquet:
                for group in range(parquet.num_row_groups):
                    names = read_group(parquet, group, ["sample_id", "version"]).to_pylist()
                    for row, name in enumerate(names):
                        key = name["sample_id"], name["version"]
                        self._places[key] = shard.data_file, group, row
        self._read: tuple[str, int] | None = None
        self._rows: list[dict[str, Any]] = []

    def samples(self) -> list[tuple[str, int]]:
        """Id and version of each, in the order in which they are stored."""
        return list(self._places)

    def find(self, sample_id: str, version: int) -> dict[str, Any] | None:
        """``image`` and ``restore_s`` of one sample; None where the method gave nothing."""
        place = self._places.get((sample_id, version))
        if place is None:
            return None
        file_name, group, row = place
        if self._read != (file_name, group):
            with self._store.open(file_name) as file, open_parquet(file) as parquet:
                self._rows = read_group(parquet, group, ["image", "restore_s"]).to_pylist()
            self._read = file_name, group
        return self._rows[row]


def outputs_hash(location: str) -> str:
    """Of what decided the outputs: the run's recipe, and the inputs that it had."""
    ledger = Ledger(open_store(location))
    return content_hash([ledger.recipe_hash(), [shard.id for shard in ledger.shards()]])
