"""Runs all steps of one shard in this process and commits what became of its inputs."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from inscene import images
from inscene.dataset.ledger import Ledger
from inscene.dataset.row_reader import RowReader
from inscene.dataset.shards import THUMBNAIL_PX, Record, ShardWriter, provenance
from inscene.dataset.sources import Input, read_inputs
from inscene.dataset.store import open_store
from inscene.dataset.tombstones import REASON as FORGOTTEN
from inscene.dataset.tombstones import STEP as FORGET
from inscene.dataset.tombstones import is_mask, read_tombstones
from inscene.engine.job import Job, ShardTask
from inscene.engine.kills import InWork
from inscene.engine.rows import Call, Drop, Fail, Keep, Row
from inscene.engine.step import StepContext
from inscene.errors import InsceneError, MachineError, RecipeError, SampleError
from inscene.schema import KINDS, RESTORED, RESULTS

T = TypeVar("T")

Progress = Callable[[int, int, int, int], None]
"""Called with inputs done, kept, dropped and failed since the last call."""


class Worker:
    """Holds the loaded steps of a run; one in each process."""

    def __init__(self, job: Job) -> None:
        built = job.built
        self._recipe = built.recipe
        self._hash = built.hash
        self._kind = KINDS[self._recipe.makes]
        self._store = open_store(job.out)
        self._tombstones = read_tombstones(self._store)
        context = StepContext(seed=self._recipe.seed, all_inputs=self._all_inputs)
        self._calls = [(name, step.setup(context)) for name, step in built.steps]
        self._copies = all(step.copies for _, step in built.steps)
        self._needs = sorted({column for _, step in built.steps for column in step.takes})
        self._provenance = provenance(self._hash, {n: s.version for n, s in built.steps})

    def _all_inputs(self) -> list[str]:
        return [name for shard in Ledger(self._store).shards() for name in shard.inputs]

    def run(self, task: ShardTask, progress: Progress) -> Record:
        """Work on a shard. What is wrong with an input is in the record; an exception here is wrong
        with the machine or the code, and leaves nothing of the shard behind."""
        done = Ledger(self._store).record(task.shard)
        if done is not None:  # by a worker that outlived a killed run
            progress(done.inputs, done.kept, sum(done.dropped.values()), sum(done.errors.values()))
            return done
        batch_rows = 1 if task.careful else self._recipe.batch_rows
        with (
            InWork(self._store, task.shard.id, task.careful) as in_work,
            ShardWriter(self._store, task.shard, self._kind, self._hash) as writer,
            RowReader() as reader,
        ):
            first = 0
            for batch in _batches(task.inputs, batch_rows):
                in_work.set(first, len(batch))
                progress(len(batch), *self._run_batch(batch, task, writer, reader))
                first += len(batch)
            return writer.commit()

    def _run_batch(
        self, batch: Sequence[Input], task: ShardTask, writer: ShardWriter, reader: RowReader
    ) -> tuple[int, int, int]:
        alive: dict[str, list[Row]] = {}
        refused: dict[str, tuple[str, Drop | Fail, Row | None]] = {}
        unseen = {entry.id for entry in batch if is_mask(entry.id) or entry.id in task.quarantined}
        looked_at = [entry for entry in batch if entry.id not in unseen]
        for entry in batch:
            if is_mask(entry.id):
                refused[entry.id] = (FORGET, Drop(FORGOTTEN), None)
            elif entry.id in task.quarantined:
                why = Fail(
                    "killed_worker_twice", "a worker died at it twice; it was not tried again"
                )
                refused[entry.id] = ("quarantine", why, None)
        for entry, columns in read_inputs(looked_at, self._needs, reader):
            if isinstance(columns, SampleError):
                refused[entry.id] = ("read", Fail(columns.reason, columns.detail), None)
            elif self._tombstones.covers(columns["sample_id"], columns.get("sha256")):
                why_not = "it has the image, or the id in its source, of a forgotten sample"
                refused[entry.id] = (FORGET, Drop(FORGOTTEN, why_not), None)
            else:
                columns["split"] = task.shard.split
                if self._kind not in (
                    RESTORED,
                    RESULTS,
                ):  # those keep the sample's own id beside its version
                    columns["sample_id"] = entry.id
                alive[entry.id] = [Row(entry.id, columns)]
        for name, call in self._calls:
            self._run_step(name, call, alive, refused)
        for entry in batch:  # in the plan's order, whatever the steps did
            if entry.id in refused:
                writer.refuse(_drop_row(entry, *refused[entry.id]))
            else:
                writer.keep([self._finished(row) for row in alive[entry.id]])
        failed = sum(isinstance(outcome, Fail) for _, outcome, _ in refused.values())
        return len(batch) - len(refused), len(refused) - failed, failed

    def _run_step(
        self,
        name: str,
        call: Call,
        alive: dict[str, list[Row]],
        refused: dict[str, tuple[str, Drop | Fail, Row | None]],
    ) -> None:
        """Replace the rows of each input by what the step makes of them; one refusal ends it."""
        rows = [row for rows in alive.values() for row in rows]
        results: dict[str, list[Row]] = {name: [] for name in alive}
        for row, outcome in zip(rows, _isolated(name, call, rows), strict=True):
            if isinstance(outcome, Keep):
                results[row.input_id] += outcome.rows
            elif row.input_id not in refused:
                refused[row.input_id] = (name, outcome, row)
        for input_id, kept in results.items():
            if input_id in refused:
                del alive[input_id]
            else:
                alive[input_id] = kept

    def _finished(self, row: Row) -> dict[str, Any]:
        """The row as its table has it: pixels encoded, provenance added, the rest left out."""
        columns = row.columns
        if self._kind.name == "scenes" and row.pixels is not None:
            stem = columns["image"]["path"].rpartition(".")[0] or columns["image"]["path"]
            columns["image"] = {"bytes": images.encode_png(_stored(row)), "path": f"{stem}.png"}
            columns["licence"] = columns.get("licence") or "unknown"
            columns["consent"] = columns.get("consent") or "unknown"
        if missing := [name for name in self._kind.key if columns.get(name) is None]:
            raise RecipeError(
                f"the steps leave {missing[0]!r} empty, which a table of {self._kind.name} needs",
                where=self._recipe.name,
                next_step="Does 'makes' fit the steps?",
            )
        if not (self._copies and columns.get("provenance")):
            columns["provenance"] = self._provenance
        return {name: columns[name] for name in self._kind.schema.names if name in columns}


def _stored(row: Row) -> NDArray[np.uint8] | NDArray[np.uint16]:
    assert row.pixels is not None
    if row.deep is None:
        return row.pixels
    if not np.array_equal(row.deep >> 8, row.pixels):
        raise RecipeError(
            "a step changes an image that is to be stored with 16 bits",
            where=row.input_id,
            next_step="Make it with 8 bits, or change it in a recipe of its own.",
        )
    return row.deep


def _isolated(name: str, call: Call, rows: list[Row]) -> list[Keep | Drop | Fail]:
    """The step's outcomes. An exception over a batch is tried again row by row, so that it costs
    the row that causes it and no other; errors of the machine pass through."""
    try:
        outcomes = call(rows) if rows else []
        if len(outcomes) != len(rows):
            raise RecipeError(
                f"the step {name!r} gave {len(outcomes)} outcomes for {len(rows)} rows"
            )
        return outcomes
    except InsceneError:
        raise
    except MemoryError as error:
        raise MachineError(
            f"the step {name!r} ran out of memory",
            next_step="Use fewer --workers, or --set batch_rows=1.",
        ) from error
    except Exception as error:
        if len(rows) == 1:
            at = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{PurePath(at.filename).name}:{at.lineno}"
            return [Fail(f"{name}_crashed", f"{type(error).__name__}: {error} ({place})")]
        return [outcome for row in rows for outcome in _isolated(name, call, [row])]


def _drop_row(entry: Input, step: str, outcome: Drop | Fail, row: Row | None) -> dict[str, Any]:
    thumbnail = None
    if row is not None and row.pixels is not None:
        data = images.thumbnail(row.pixels, THUMBNAIL_PX)
        thumbnail = {"bytes": data, "path": "thumbnail.jpg"}
    known = {} if step == FORGET else row.columns if row is not None else dict(entry.columns)
    return {
        "sample_id": entry.id,
        "step": step,
        "kind": "drop" if isinstance(outcome, Drop) else "error",
        "reason": outcome.reason,
        "detail": outcome.detail,
        **{name: known.get(name) for name in ("identity", "sha256", "pixels_sha256", "phash")},
        **{name: row.columns.get(name) if row else None for name in ("scores", "shot", "tries")},
        "thumbnail": thumbnail,
    }


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(values)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
