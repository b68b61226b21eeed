"""Clean photographs of the people that captures show, by the ids that they have in a gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from inscene.dataset.inspect import open_table
from inscene.dataset.sources import list_inputs
from inscene.errors import UsageError
from inscene.recipe import content_hash


@dataclass(frozen=True)
class Gallery:
    """Who is on which photograph. No image is read."""

    ids: Mapping[str, tuple[str, ...]]
    """Identity -> its photographs, sorted."""

    @classmethod
    def of(cls, location: str) -> Gallery:
        """A dataset of scenes, as ``inscene build gallery`` makes it, or a folder of photographs
        with a sub-folder for each person. Raises :class:`UsageError` where it names nobody."""
        ids: dict[str, list[str]] = {}
        for sample_id, identity in _people(location):
            if identity:
                ids.setdefault(identity, []).append(sample_id)
        if not ids:
            raise UsageError(
                "names nobody: its photographs have no identity",
                where=location,
                next_step="Make it from a folder with a sub-folder for each person.",
            )
        return cls({identity: tuple(sorted(names)) for identity, names in sorted(ids.items())})

    def fingerprint(self) -> str:
        return content_hash({identity: list(names) for identity, names in self.ids.items()})

    def references(self, identity: str | None, sample_id: str) -> list[str]:
        """Of this person. A photograph with the capture's own name is no reference: cameras write
        the same moment as RAW and as JPEG."""
        own = PurePosixPath(sample_id).stem.casefold()
        names = self.ids.get(identity or "", ())
        return [name for name in names if PurePosixPath(name).stem.casefold() != own]


def _people(location: str) -> Iterator[tuple[str, str | None]]:
    inputs = list_inputs([location])  # refuses what is unfinished, or no such thing
    if inputs[0].row_group >= 0:
        for row in open_table(location).rows(("sample_id", "identity")):
            yield str(row["sample_id"]), row.get("identity")
        return
    for entry in inputs:
        folder, below, _ = entry.id.partition("/")
        yield entry.id, dict(entry.columns).get("identity") or (folder if below else None)
