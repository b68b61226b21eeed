"""From a folder to what is sent: checked, refused or staged, described."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from inscene.dataset.ledger import Ledger
from inscene.dataset.lock import hold
from inscene.dataset.store import LocalStore, Store, open_store
from inscene.dataset.tombstones import PUBLISHED, Tombstones, read_tombstones
from inscene.dataset.verify import verify
from inscene.errors import BusyError, VerificationError
from inscene.hub.describe import describe
from inscene.hub.package import Package
from inscene.hub.publish import Say, Started
from inscene.hub.refuse import findings
from inscene.hub.results import results_package
from inscene.hub.rules import Allowed, refused
from inscene.hub.stage import MAX_FILE_BYTES, discard, stage, take
from inscene.hub.statement import Statement

if TYPE_CHECKING:
    from inscene.hub.facts import Content

__all__ = ["Request", "discard", "prepare", "staging"]


@dataclass(frozen=True)
class Request:
    """What is to be published, and what its publisher says of it."""

    location: str
    statement: Statement
    allow: Allowed = field(default_factory=Allowed)
    content: Content | None = None
    """What pairs and restored images show, which do not tell."""
    max_file_bytes: int = MAX_FILE_BYTES


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[None]:
    """Hold the folder: of two publishes to one repository the second is refused."""
    take(folder)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(LocalStore(folder)))
        except BusyError as error:
            raise BusyError(
                error.what.replace("written", "filled for another publish"), where=str(folder),
                next_step="Wait for it to end; the same command then sends what is left.",
            ) from None  # fmt: skip
        yield


def prepare(request: Request, folder: Path, started: Started, say: Say) -> Package:
    """Everything up to the sending. Raises :class:`VerificationError` for a dataset that is not
    sound, :class:`UsageError` for what may not be published."""
    store = open_store(request.location)
    if not Ledger(store).exists() and _holds_results(store):
        return results_package([request.location], folder, request.statement, request.allow)
    say("verifying")
    verdict = verify(request.location)
    if verdict.problems or verdict.table_hash is None:
        raise VerificationError(
            f"is not sound: {verdict.problems[0]}", where=request.location,
            why=f"{len(verdict.problems)} problems; inscene verify lists them.",
            next_step="Mend it, or run the command that makes it again. Nothing was sent.",
        )  # fmt: skip
    say("looking for what must not be published")
    found = findings(store)
    if error := refused([one for one in found if one.rule not in request.allow], request.location):
        raise error
    tombstones = read_tombstones(store)
    published = published_tombstones(tombstones)
    staged = stage(
        store,
        folder,
        forgotten=tombstones if tombstones else None,
        forgotten_hash=hashlib.sha256(published).hexdigest(),
        max_file_bytes=request.max_file_bytes,
        advance=started("stage", _data_bytes(store), 0),
    )
    description = describe(
        store,
        staged.splits(),
        replace(request.statement, waived=tuple(found)),
        stated=request.content,
        forgotten=verdict.forgotten + staged.forgotten_rows,
    )
    return Package(
        staged,
        description.card,
        {**description.texts, PUBLISHED: published},
        content=verdict.table_hash,
        real_people=description.real_people,
        has_forgotten=bool(tombstones),
    )


def published_tombstones(tombstones: Tombstones) -> bytes:
    """Hashes only: why and when somebody was taken out is nobody's business."""
    entries = {(one.sample_id_sha256, one.image_sha256) for one in tombstones.entries}
    listed = [
        {"sample_id_sha256": sample, "image_sha256": image}
        for sample, image in sorted(entries, key=lambda one: (one[0] or "", one[1] or ""))
    ]
    return (json.dumps(listed, indent=1) + "\n").encode()


def _holds_results(store: Store) -> bool:
    return any(
        store.list(f"{depth}{run}/run/recipe.json")
        for depth in ("", "*/")
        for run in ("restored", "scores-*")
    )


def _data_bytes(store: Store) -> int:
    return sum(store.size(shard.data_file) or 0 for shard in Ledger(store).shards())
