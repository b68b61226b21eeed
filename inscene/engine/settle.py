"""Fits a plan to what the dataset has forgotten, and to a plan that was begun before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inscene.dataset.shards import Shard
from inscene.dataset.sources import Input
from inscene.dataset.tombstones import Tombstones, is_mask, mask
from inscene.engine.plan import state_of

Planned = tuple[Shard, tuple[Input, ...]]


def settle(
    planned: Sequence[Planned], begun: Sequence[Shard] | None, tombstones: Tombstones
) -> tuple[Planned, ...]:
    """The plan with masks in the place of forgotten ids.

    Where the dataset was begun with the same inputs, but for forgotten ones that its source no
    longer has, the shards are those that it was begun with.
    """
    masked = tuple(_masked(shard, inputs, tombstones) for shard, inputs in planned)
    if begun is None:
        return masked
    here = {entry.id: (shard.split, entry) for shard, inputs in masked for entry in inputs}
    there = {name: shard.split for shard in begun for name in shard.inputs}
    now = {name: split for name, (split, _) in here.items() if not is_mask(name)}
    if now != {name: split for name, split in there.items() if not is_mask(name)}:
        return masked  # the ledger says what differs
    return tuple(_as_begun(shard, {n: entry for n, (_, entry) in here.items()}) for shard in begun)


def _masked(shard: Shard, inputs: Sequence[Input], tombstones: Tombstones) -> Planned:
    entries = tuple(
        replace(entry, id=mask(entry.id)) if tombstones.covers(entry.id) else entry
        for entry in inputs
    )
    return shard.with_inputs(entry.id for entry in entries), entries


def _as_begun(shard: Shard, here: dict[str, Input]) -> Planned:
    """With an input gone, nobody can tell whether the content of the others changed since: their
    states were hashed together."""
    inputs = tuple(here.get(name) or Input(name, shard.split, "") for name in shard.inputs)
    gone = any(name not in here for name in shard.inputs)
    return (shard if gone else replace(shard, state=state_of(inputs))), inputs
