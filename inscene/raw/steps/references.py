"""``references``: clean photographs of the person whom a capture shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inscene.dataset.store import is_url
from inscene.engine.rows import Call, Drop, Keep, Outcome, Row, row_by_row
from inscene.engine.step import Step, StepContext
from inscene.raw.gallery import Gallery

NONE = "no_references"


@dataclass(frozen=True)
class References(Step):
    """Note their ids, ``reference_ids``: those in the gallery that have the capture's
    ``identity``."""

    dataset: str | None = None
    """The gallery: a dataset, or a folder with a sub-folder for each person. None: nothing is
    noted."""
    missing: Literal["keep", "drop"] = "keep"
    """Captures of people who have none: kept without, or dropped."""

    def __post_init__(self) -> None:
        if self.dataset is not None and not is_url(self.dataset):
            # A worker may have another working directory.
            absolute = str(Path(self.dataset).expanduser().absolute())
            object.__setattr__(self, "dataset", absolute)

    def strangers(self, people: Iterable[str]) -> list[str]:
        """Those of these people of whom the gallery has no photograph, sorted."""
        if self.dataset is None:
            return []
        return sorted(set(people) - set(Gallery.of(self.dataset).ids))

    def check(self, input_ids: Sequence[str]) -> None:
        if self.dataset is not None:
            Gallery.of(self.dataset)

    def fingerprint(self) -> dict[str, Any]:
        gallery = None if self.dataset is None else Gallery.of(self.dataset).fingerprint()
        return {"gallery": gallery, "missing": self.missing}

    def setup(self, context: StepContext) -> Call:
        gallery = Gallery({}) if self.dataset is None else Gallery.of(self.dataset)

        def note(row: Row) -> Outcome:
            if self.dataset is None:
                return Keep((row,))
            identity = row.columns.get("identity")
            found = gallery.references(identity, row.input_id)
            row.columns["reference_ids"] = found
            if not found and self.missing == "drop":
                return Drop(NONE, f"of {identity!r}" if identity else "no identity")
            return Keep((row,))

        return row_by_row(note)
