"""Folders of images with a metadata.jsonl, as the tables that ``inspect`` looks into."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from inscene.dataset import image_folder
from inscene.dataset.inspect import Row, Table
from inscene.dataset.sources import Input, list_image_folder, read_inputs
from inscene.dataset.store import Store
from inscene.errors import SampleError

_IMAGES = {"image", "lq", "hq"}


@dataclass(frozen=True)
class ImageFolderTable(Table):
    inputs: tuple[Input, ...] = ()

    @classmethod
    def of(cls, location: str, store: Store) -> ImageFolderTable:
        inputs = tuple(list_image_folder(store))
        kind = "pairs" if inputs and all(entry.has("lq") for entry in inputs) else "scenes"
        files, readings = zip(*image_folder.readings(store), strict=True)
        return cls(location, kind, store, files, readings=readings, inputs=inputs)

    def row_count(self) -> int:
        return len(self.inputs)

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        return itertools.chain.from_iterable(self._row(one, columns) for one in self.inputs)

    def rows_at(self, positions: Sequence[int], columns: Sequence[str]) -> Iterator[Row]:
        wanted = (self.inputs[position] for position in positions if position < len(self.inputs))
        return itertools.chain.from_iterable(self._row(one, columns) for one in wanted)

    def _row(self, entry: Input, columns: Sequence[str]) -> Iterator[Row]:
        known: dict[str, Any] = {"sample_id": entry.id, "split": entry.split}
        known |= dict(entry.columns)
        if _IMAGES & set(columns):
            ((_, found),) = read_inputs([entry])
            known |= {} if isinstance(found, SampleError) else found
        yield {name: known[name] for name in columns if name in known}
