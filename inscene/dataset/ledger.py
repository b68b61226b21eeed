"""The ledger of a dataset folder: what its run is, which shards there are, which are done.

run/recipe.json      the fingerprint of the recipe; its presence says that a plan exists
run/plan.jsonl       the shards, one a line
run/records/*.json   one completion record a shard
run/forgotten.json   hashes of samples that were taken out for good (inscene.dataset.tombstones)
run/closing.json     what closing steps have decided, until it is done (inscene.dataset.closing)
run/quarantine.json  inputs that were in work when a worker died, and how often
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from inscene.dataset.shards import Record, Shard
from inscene.dataset.store import Store
from inscene.errors import RecipeError, UsageError, VerificationError
from inscene.recipe import content_hash

RECIPE, PLAN = "run/recipe.json", "run/plan.jsonl"
PUBLISHED = "inscene.json"
"""What :mod:`inscene.hub` puts beside the tables that it publishes."""


class Ledger:
    def __init__(self, store: Store) -> None:
        self.store = store

    def exists(self) -> bool:
        return self.store.size(RECIPE) is not None

    def begin(self, fingerprint: dict[str, Any], shards: Sequence[Shard]) -> None:
        """Start a run here, or continue the one that this folder holds.

        Raises :class:`RecipeError` where the folder's recipe differs, naming the key, and
        :class:`UsageError` where its inputs differ or it holds data of another origin.
        """
        plan = plan_lines(shards)
        if not self.exists():
            if self.store.list("data/*.parquet"):
                raise UsageError(
                    "holds data that no run of inscene wrote",
                    where=self.store.root,
                    next_step="Choose another --out.",
                )
            self.store.replace(PLAN, plan)
            self.store.replace(RECIPE, json.dumps(fingerprint, indent=1, sort_keys=True).encode())
            return
        if difference := _first_difference(self.fingerprint(), fingerprint):
            key, theirs, ours = difference
            raise RecipeError(
                f"was begun with another recipe: {key} is {theirs!r} there and {ours!r} now",
                where=self.store.root,
                next_step="Use the same recipe to resume, or choose another --out.",
            )
        if self.store.read(PLAN) != plan:
            before = {name for shard in self.shards() for name in shard.inputs}
            now = {name for shard in shards for name in shard.inputs}
            what = f"{len(now - before)} are new and {len(before - now)} are gone"
            if now == before:
                what = "the same ones, whose content has changed since"
            raise UsageError(
                f"was begun with other inputs: {what}",
                where=self.store.root,
                next_step="Give the same sources and --limit to resume, or choose another --out.",
            )

    def fingerprint(self) -> dict[str, Any]:
        self._must_exist()
        with self._damage_explained(RECIPE):
            fingerprint: dict[str, Any] = json.loads(self.store.read(RECIPE))
            return fingerprint

    def closing_steps(self) -> list[str]:
        """Names of the steps that go over the whole table in the end."""
        return [str(facts["step"]) for facts in self.fingerprint().get("closing", ())]

    def recipe_hash(self) -> str:
        return content_hash(self.fingerprint())

    def shards(self) -> list[Shard]:
        self._must_exist()
        with self._damage_explained(PLAN):
            lines = self.store.read(PLAN).decode().splitlines()
            return [_shard_of_line(json.loads(line)) for line in lines]

    def record(self, shard: Shard) -> Record | None:
        """The shard's completion record, if it is done: the files are there with its sizes."""
        if self.store.size(shard.record_file) is None:
            return None
        try:
            record = Record.from_json(self.store.read(shard.record_file))
        except (ValueError, TypeError):
            return None  # torn: it proves nothing
        whole = all(self.store.size(name) == file["bytes"] for name, file in record.files.items())
        return record if whole else None

    def records(self) -> Iterator[tuple[Shard, Record | None]]:
        for shard in self.shards():
            yield shard, self.record(shard)

    @contextlib.contextmanager
    def _damage_explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, KeyError, FileNotFoundError) as error:
            raise VerificationError(
                "is damaged or missing",
                where=self.store.describe(name),
                why=f"{type(error).__name__}: {error}.",
                next_step="Make the dataset anew with another --out.",
            ) from error

    def _must_exist(self) -> None:
        if not self.exists():
            if self.store.size(PUBLISHED) is not None:
                raise UsageError(
                    "is a published copy of a dataset",
                    where=self.store.root,
                    why="The records of the run stay with the dataset that was published.",
                    next_step="Name that one, on the machine where it was made.",
                )
            raise UsageError(
                "is not a dataset of inscene",
                where=self.store.root,
                why=f"It has no {RECIPE}.",
                next_step="Name the folder that a command wrote with --out.",
            )


def plan_lines(shards: Iterable[Shard]) -> bytes:
    """What ``run/plan.jsonl`` holds."""
    return "".join(json.dumps(_plan_line(shard)) + "\n" for shard in shards).encode()


def _plan_line(shard: Shard) -> dict[str, Any]:
    return {
        "id": shard.id,
        "name": shard.name,
        "split": shard.split,
        "inputs": shard.inputs,
        "state": shard.state,
    }


def _shard_of_line(line: dict[str, Any]) -> Shard:
    return Shard(**{**line, "inputs": tuple(line["inputs"])})


def _first_difference(theirs: Any, ours: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first place where two JSON values differ, as a dotted key and both values."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted(theirs.keys() | ours.keys()):
            found = _first_difference(theirs.get(name), ours.get(name), f"{key}.{name}".strip("."))
            if found:
                return found
        return None
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for position, (left, right) in enumerate(zip(theirs, ours, strict=True)):
            step = left.get("step") if isinstance(left, dict) else None
            if found := _first_difference(left, right, f"{key}.{step or position}"):
                return found
        return None
    return None if theirs == ours else (key, theirs, ours)
