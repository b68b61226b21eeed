"""What a worker is told: a run's recipe and output, and one shard's inputs. Ids and paths only."""

from __future__ import annotations

from dataclasses import dataclass

from inscene.dataset.shards import Shard
from inscene.dataset.sources import Input
from inscene.engine.registry import BuiltRecipe


@dataclass(frozen=True)
class Job:
    """The same for every shard of a run."""

    built: BuiltRecipe
    out: str


@dataclass(frozen=True)
class ShardTask:
    shard: Shard
    inputs: tuple[Input, ...]
    careful: bool = False
    """After a worker died: one input at a time, so that the next death names its cause."""
    quarantined: tuple[str, ...] = ()
    """Inputs that killed workers twice: refused without a look."""
