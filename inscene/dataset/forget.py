"""Takes samples out of a dataset for good: which they are, and what goes with them.

What is asked for by id or person grows by what belongs to it: the same file under another name,
every version of a sample. What is left afterwards has no row, thumbnail or id of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath

from inscene.dataset import closing, lock, removal, rewrite
from inscene.dataset.closing import named_in
from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import open_parquet, read_columns, read_group
from inscene.dataset.shards import Record, Shard
from inscene.dataset.store import LocalStore, Store, open_store
from inscene.dataset.tombstones import (
    NONE,
    Tombstone,
    Tombstones,
    dated,
    hash_id,
    is_mask,
    read_tombstones,
    without_version,
)
from inscene.errors import UsageError
from inscene.schema import KINDS
from inscene.suggest import did_you_mean

CLEAN_IMAGES = ("image", "hq")
"""Their bytes, as a file of their own, would bring the sample back."""


@dataclass(frozen=True)
class Asked:
    """What is to be forgotten; at least one of the first three."""

    ids: tuple[str, ...] = ()
    """Sample ids; without its ``@VERSION`` an id means all versions."""
    identity: str | None = None
    tombstones: Tombstones = NONE
    """Whatever another dataset has forgotten."""
    reason: str = ""


@dataclass
class Removal:
    """What goes, or would go."""

    dataset: str
    kind: str = ""
    samples: int = 0
    """Inputs of the dataset's run: each ends as a drop with the reason ``forgotten``."""
    rows: int = 0
    drops: int = 0
    """Rows of the drops table, with thumbnails where there were any."""
    unfinished: int = 0
    """Of the samples: in shards that are still to do. The run that does them leaves them out."""
    shards: int = 0
    already: int = 0
    """Samples asked for that were forgotten before."""
    by_image: list[str] = field(default_factory=list)
    """Ids that were not asked for, and have the same image."""
    below_label: list[str] = field(default_factory=list)
    """Ids of refused inputs in a folder of the identity's name: no row says whose they are."""
    unseen_shards: int = 0
    """Shards still to do, whose identities nobody knows yet."""
    resumed: bool = False
    """An earlier call was killed, and was finished first."""


@dataclass(frozen=True)
class _Row:
    shard: int
    input: str
    sample_id: str
    identity: str | None
    sha256: str | None
    detail: str | None = None


class _Contents:
    """Who is in a dataset: the small columns of all rows, kept and refused."""

    def __init__(self, store: Store) -> None:
        ledger = Ledger(store)
        fingerprint = ledger.fingerprint()
        self.store, self.kind = store, KINDS[fingerprint["makes"]]
        self.shards = ledger.shards()
        self.records = [rewrite.record_of(store, shard) for shard in self.shards]
        self.rows: list[_Row] = []
        self.refused: list[_Row] = []
        for number, (shard, record) in enumerate(zip(self.shards, self.records, strict=True)):
            if record is not None:
                self._read(number, shard, record)

    def _read(self, number: int, shard: Shard, record: Record) -> None:
        for name in (shard.data_file, shard.drops_file):
            if self.store.size(name) != record.files[name]["bytes"]:
                rewrite.check_whole(self.store, shard, record)  # says what is wrong
        keys = rewrite.keys_of(self.store, shard.data_file)
        facts = self._columns(shard.data_file, len(keys))
        origins = rewrite.inputs_by_row(shard, keys)
        for (sample_id, _, origin), (identity, sha256, _) in zip(origins, facts, strict=True):
            self.rows.append(_Row(number, origin, sample_id, identity, sha256))
        names = [name for name, _ in rewrite.keys_of(self.store, shard.drops_file)]
        facts = self._columns(shard.drops_file, len(names))
        for name, of_row in zip(names, facts, strict=True):
            if not is_mask(name):
                sample_id = without_version(name) if self._has_versions else name
                self.refused.append(_Row(number, name, sample_id, *of_row))

    @property
    def _has_versions(self) -> bool:
        return "version" in self.kind.schema.names

    def _columns(self, name: str, rows: int) -> list[tuple[str | None, str | None, str | None]]:
        """Identity, sha256 and, of a drop, detail."""
        wanted = ("identity", "sha256", "detail")
        with self.store.open(name) as file, open_parquet(file) as parquet:
            there = [n for n in wanted if n in parquet.schema_arrow.names]
        found = read_columns(self.store, name, there).to_pydict() if there else {}
        columns = (found.get(column, [None] * rows) for column in wanted)
        return list(zip(*columns, strict=True))

    @property
    def inputs(self) -> Iterator[tuple[int, str]]:
        """All of the plan that are not forgotten, with their shards."""
        for number, shard in enumerate(self.shards):
            for name in shard.inputs:
                if not is_mask(name):
                    yield number, name

    def image_hashes(self, origins: Collection[str]) -> dict[str, set[str]]:
        """Input -> SHA-256 of the clean images that its rows store."""
        found: dict[str, set[str]] = {}
        members: dict[int, list[str]] = {row.shard: [] for row in self.rows if row.input in origins}
        for row in self.rows:
            if row.shard in members:
                members[row.shard].append(row.input)
        for number, in_order in sorted(members.items()):
            name, rows = self.shards[number].data_file, iter(in_order)
            with self.store.open(name) as file, open_parquet(file) as parquet:
                images = [c for c in CLEAN_IMAGES if c in parquet.schema_arrow.names]
                for group in range(parquet.num_row_groups):
                    here = [next(rows) for _ in range(parquet.metadata.row_group(group).num_rows)]
                    wanted = [place for place, origin in enumerate(here) if origin in origins]
                    if not (wanted and images):
                        continue
                    cells = read_group(parquet, group, images).take(wanted).to_pylist()
                    for place, row in zip(wanted, cells, strict=True):
                        for cell in row.values():
                            if cell and cell["bytes"]:
                                digest = hashlib.sha256(cell["bytes"]).hexdigest()
                                found.setdefault(here[place], set()).add(digest)
        return found


def forget(
    location: str,
    asked: Asked,
    confirm: Callable[[Removal], bool] = lambda _: True,
    progress: removal.Progress = lambda: None,
) -> Removal | None:
    """Forget, or finish what an earlier call was killed at; None where ``confirm`` says no. A
    folder without a dataset gets the tombstones of another alone: a run into it heeds them.

    Raises :class:`UsageError` for an id or person that is not there, :class:`VerificationError`
    for damage in a shard concerned; nothing is changed then. :class:`BusyError` where a run holds
    the folder.
    """
    store = open_store(location)
    _check_place(store, asked)
    with lock.hold(store):
        if isinstance(store, LocalStore):
            store.sweep_staging()
        if closing.is_begun(store) and not closing.finish(store, strict=False):
            raise UsageError(
                "is unfinished, and was killed near its end",
                where=location,
                next_step="Run the command that makes it again: it resumes. Then forget.",
            )
        if resumed := removal.is_begun(store):
            removal.finish(store, progress)
        found = Removal(location, resumed=resumed)
        if not (asked.ids or asked.identity is not None or asked.tombstones):
            if not resumed:
                raise UsageError(
                    "nothing to forget", next_step="Name sample ids, or give --identity."
                )
            return found
        known = read_tombstones(store)
        wanted = known.with_more(asked.tombstones.entries)
        if Ledger(store).exists():
            wanted = _select(_Contents(store), known, asked, found)
        if wanted == known and not found.samples:
            return found
        if not confirm(found):
            return None
        removal.begin(store, wanted)
        removal.finish(store, progress)
        return found


def _check_place(store: Store, asked: Asked) -> None:
    """A wrong path must not get a lock and a folder."""
    ledger = Ledger(store)
    if not asked.tombstones:
        ledger.fingerprint()
    elif not ledger.exists():
        others = [n for n in (*store.list("*"), *store.list("*/*")) if not n.startswith("run/")]
        if others:
            raise UsageError(
                "is not a dataset of inscene",
                where=store.root,
                why=f"It holds {others[0]}, and no dataset.",
                next_step="Name a dataset, or a folder for a new one.",
            )


def _select(contents: _Contents, known: Tombstones, asked: Asked, found: Removal) -> Tombstones:
    """The tombstones that will hold; counts what they take out."""
    found.kind = contents.kind.name
    named = _named(contents, known, asked, found)
    wanted = known.with_more(asked.tombstones.entries)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    gone: set[str] = set()
    # Each tombstone may cover more, which gets tombstones of its own, until nothing is new.
    while fresh := (named | _covered(contents, wanted) | _like(contents, gone)) - gone:
        gone |= fresh
        wanted = wanted.with_more(dated(_stones(contents, fresh), when, asked.reason))
    asked_for = Tombstones(tuple(Tombstone(hash_id(s)) for s in _sample_ids(contents, named)))
    asked_for = asked_for.with_more(asked.tombstones.entries)
    found.by_image = sorted(name for name in gone if not asked_for.covers(name))
    _count(contents, gone, found)
    for number in {number for number, name in contents.inputs if name in gone}:
        if (record := contents.records[number]) is not None:
            rewrite.check_whole(contents.store, contents.shards[number], record)
    return wanted


def _named(contents: _Contents, known: Tombstones, asked: Asked, found: Removal) -> set[str]:
    """Inputs of the ids and the person. Raises :class:`UsageError` for those that are not there."""
    by_name: dict[str, set[str]] = {}
    for row in (*contents.rows, *contents.refused):
        by_name.setdefault(row.sample_id, set()).add(row.input)
    for _, name in contents.inputs:
        by_name.setdefault(name, set()).add(name)
        by_name.setdefault(without_version(name), set()).add(name)
    named: set[str] = set()
    for sample_id in asked.ids:
        if sample_id in by_name:
            named |= by_name[sample_id]
        elif known.covers(sample_id):
            found.already += 1
        else:
            raise UsageError(
                f"has no sample {sample_id!r}",
                where=found.dataset,
                why="Nothing was changed.",
                next_step=_nearest(sample_id, by_name),
            )
    if asked.identity is not None:
        named |= _of_person(contents, known, asked.identity, found)
    return named


def _of_person(contents: _Contents, known: Tombstones, identity: str, found: Removal) -> set[str]:
    everybody = (*contents.rows, *contents.refused)
    named = {row.input for row in everybody if row.identity == identity}
    unfinished = {number for number, record in enumerate(contents.records) if record is None}
    found.unseen_shards = len(unfinished)
    found.below_label = sorted(
        row.input
        for row in contents.refused
        if row.identity is None and identity in PurePosixPath(row.input).parts[:-1]
    )
    if not named and not found.resumed:
        labels = {row.identity for row in everybody if row.identity is not None}
        why = "Nothing was changed."
        if unfinished:
            why += f" {len(unfinished)} shards are still to do: their people are not known yet."
        if not labels:
            next_step = "No row of it has an identity: name the samples."
        else:
            next_step = _nearest(identity, labels)
        if known:
            next_step += " Whoever is forgotten already has no label left."
        raise UsageError(
            f"has no person {identity!r}", where=found.dataset, why=why, next_step=next_step
        )
    return named


MANY = 20_000


def _nearest(word: str, known: Collection[str]) -> str:
    """Of very many names only those that begin or end alike are compared, and none is listed."""
    near: Iterable[str] = known
    if len(known) > MANY:
        near = [n for n in known if n[:4] == word[:4] or n[-8:] == word[-8:]][:MANY]
    said = did_you_mean(word, near)
    return said if said.startswith("Did") or len(known) <= 20 else "inscene inspect shows it."


def _covered(contents: _Contents, tombstones: Tombstones) -> set[str]:
    by_id = {name for _, name in contents.inputs if tombstones.covers(name)}
    return by_id | {
        row.input
        for row in (*contents.rows, *contents.refused)
        if tombstones.covers(row.sample_id, row.sha256)
    }


def _like(contents: _Contents, gone: set[str]) -> set[str]:
    """Those that were dropped because they are like one of these: they show the same."""
    return {row.input for row in contents.refused if not gone.isdisjoint(named_in(row.detail))}


def _sample_ids(contents: _Contents, origins: Collection[str]) -> set[str]:
    """What their rows are called; inputs without rows by themselves."""
    with_rows = {r.input: r.sample_id for r in (*contents.refused, *contents.rows)}
    return {with_rows.get(origin, origin) for origin in origins} | set(origins)


def _stones(contents: _Contents, origins: Collection[str]) -> Iterator[Tombstone]:
    """One a sample and image; one without an image where none is known."""
    images = contents.image_hashes(origins)
    names: dict[str, set[str]] = {}
    for row in (*contents.rows, *contents.refused):
        if row.input in origins:
            names.setdefault(row.input, set()).add(row.sample_id)
            if row.sha256 is not None:
                images.setdefault(row.input, set()).add(row.sha256)
    for origin in sorted(origins):
        called = names.get(origin, set())
        if not called & {origin, without_version(origin)}:
            called = called | {origin}
        digests: Sequence[str | None] = sorted(images.get(origin, ())) or (None,)
        for sample_id in sorted(called):
            for digest in digests:
                yield Tombstone(hash_id(sample_id), digest)


def _count(contents: _Contents, gone: Collection[str], found: Removal) -> None:
    members = [(number, name) for number, name in contents.inputs if name in gone]
    found.samples = len(members)
    found.shards = len({number for number, _ in members})
    found.unfinished = sum(contents.records[number] is None for number, _ in members)
    found.rows = sum(row.input in gone for row in contents.rows)
    found.drops = sum(row.input in gone for row in contents.refused)
