"""A run: plan the shards, hand out what is not done, account for every input."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from inscene.dataset import closing, lock, removal
from inscene.dataset.ledger import Ledger
from inscene.dataset.shards import Record, Shard
from inscene.dataset.sources import Input, list_inputs
from inscene.dataset.store import LocalStore, Store, is_url, open_store
from inscene.dataset.tombstones import (
    FORGOTTEN,
    NONE,
    Tombstones,
    is_mask,
    read_tombstones,
    tombstones_of_source,
)
from inscene.engine.close import close
from inscene.engine.gpus import gpus_here
from inscene.engine.job import Job, ShardTask
from inscene.engine.kills import Quarantine, mark_file, read_mark, stale_marks
from inscene.engine.plan import plan_shards
from inscene.engine.pool import Died, Failed, Finished, InlinePool, Pool
from inscene.engine.progress import Display, Silent
from inscene.engine.registry import BuiltRecipe
from inscene.engine.settle import settle
from inscene.errors import MachineError, UsageError

ExecutorName = Literal["auto", "inline", "process", "ray"]

INLINE_UP_TO = 200  # inputs; below, the start-up of workers costs more than they save
UNEXPLAINED_DEATHS = 3  # in a row, with no input in work: then it is no input's fault


@dataclass(frozen=True)
class Workers:
    """Who does the work. Nothing here changes the result."""

    executor: ExecutorName = "auto"
    count: int | None = None
    ray_address: str | None = None

    @property
    def work_here(self) -> bool:
        """Not on a cluster, of which this machine may be no part."""
        return self.executor != "ray" and not self.ray_address

    def chosen(self, inputs: int, gpus: int = 0) -> tuple[Literal["inline", "process", "ray"], int]:
        """The executor and the number of its workers, for this many inputs.

        ``gpus`` of this machine, where a step wants one and there are any: one worker each. A
        model takes longer to load there than a process to start, so none is left idle.
        """
        if gpus and self.work_here and self.executor != "inline":
            count = min(self.count or gpus, gpus)
            return ("process", count) if count > 1 or self.executor == "process" else ("inline", 1)
        count = self.count or _usable_cpus()
        if self.executor == "auto":
            if self.ray_address:
                return "ray", count
            small = inputs < INLINE_UP_TO and self.count is None
            return ("inline", 1) if small or count == 1 else ("process", count)
        if self.executor == "inline":
            if (self.count or 1) > 1:
                raise UsageError(
                    f"the executor 'inline' has one worker, not {self.count}",
                    next_step="Use --executor process.",
                )
            return "inline", 1
        return self.executor, count


def _usable_cpus() -> int:
    """Those that this process may run on: a job scheduler often grants fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class Summary:
    """What became of all inputs of a dataset."""

    out: str
    inputs: int = 0
    kept: int = 0
    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        self.inputs += record.inputs
        self.kept += record.kept
        self.rows += record.rows
        for total, part in ((self.dropped, record.dropped), (self.errors, record.errors)):
            for reason, count in part.items():
                total[reason] = total.get(reason, 0) + count


@dataclass(frozen=True)
class Plan:
    built: BuiltRecipe
    out: str
    shards: tuple[tuple[Shard, tuple[Input, ...]], ...]
    tombstones: Tombstones = NONE
    """What its sources have forgotten: a new dataset takes it over."""

    @property
    def inputs(self) -> int:
        return sum(len(inputs) for _, inputs in self.shards)


def plan(
    built: BuiltRecipe,
    sources: Sequence[str],
    out: str,
    limit: int | None = None,
    split: str | None = None,
    listing: Callable[[Sequence[str], Sequence[str]], list[Input]] = list_inputs,
    to_run: bool = True,
) -> Plan:
    """What a run would do. ``limit`` takes the first inputs by id; ``split`` leaves out those of
    which the source says that they are of another one. ``listing`` finds the inputs of the sources,
    with the image columns that they need. ``to_run`` as in :func:`plan_inputs`."""
    must_differ(sources, out)
    needs = sorted({column for _, step in built.steps for column in step.takes})
    inputs = listing(sources, needs)
    if split is not None:
        inputs = [entry for entry in inputs if entry.split in (None, split)]
        if not inputs:
            raise UsageError(f"has nothing of the split {split!r}", where=", ".join(sources))
    planned = plan_inputs(built, inputs, out, limit, to_run=to_run)
    forgotten = NONE
    for source in sources:
        forgotten = forgotten.with_more(tombstones_of_source(source).entries)
    return replace(planned, tombstones=forgotten)


def must_differ(sources: Sequence[str], out: str) -> None:
    """Raises :class:`UsageError` where one of the sources is what would be written."""
    for source in sources:
        if _absolute(out) == (source.rstrip("/") if is_url(source) else os.path.abspath(source)):
            raise UsageError(
                "is both source and --out", where=source, next_step="Choose another --out."
            )


def plan_inputs(
    built: BuiltRecipe,
    inputs: Sequence[Input],
    out: str,
    limit: int | None = None,
    *,
    to_run: bool = True,
) -> Plan:
    """What a run would do with these inputs, whose ids must differ: for inputs that are no listing
    of a folder, as the jobs of a generator are. ``limit`` takes the first by id. Not ``to_run`` is
    to be looked at: the shards have no recipe hash in their ids, which may need weights that are
    not here."""
    recipe = built.recipe
    inputs = sorted(inputs, key=lambda entry: entry.id)[:limit]
    for one, other in itertools.pairwise(inputs):
        if one.id == other.id:
            raise UsageError(f"the id {one.id!r} occurs twice", where=f"{one.file}, {other.file}")
    for _, step in built.steps:
        step.check([entry.id for entry in inputs])
    shards = plan_shards(
        inputs,
        recipe_hash=built.hash if to_run else "",
        default_split=recipe.split,
        shard_rows=recipe.shard_rows,
    )
    return Plan(built, _absolute(out), tuple(shards))


def _absolute(out: str) -> str:
    """Workers may run in another folder."""
    return out if is_url(out) else os.path.abspath(out)


def run(plan: Plan, workers: Workers | None = None, display: Display | None = None) -> Summary:
    """Make the dataset, or finish it. Done shards are skipped; the result does not depend on
    ``workers``, order, or how often it was interrupted.

    Raises :class:`BusyError` where another run holds the folder, :class:`RecipeError` or
    :class:`UsageError` where the folder was begun otherwise, :class:`MachineError` for what this
    machine lacks; a later run with the same arguments resumes.
    """
    store = open_store(plan.out)
    display = display or Silent()
    with lock.hold(store):
        if isinstance(store, LocalStore):
            store.sweep_staging()
        ledger = Ledger(store)
        plan = _without_forgotten(plan, ledger)
        ledger.begin(plan.built.fingerprint, [shard for shard, _ in plan.shards])
        summary = Summary(plan.out)
        tasks = deque(_open_tasks(plan, ledger, summary))
        display.resume(summary)
        if tasks:
            _Driver(store, plan, workers or Workers(), display, summary).work(tasks)
        if close(ledger, plan.built.closing, display):
            summary = _summary_of(plan.out, ledger)
        ended = summary.kept + sum(summary.dropped.values()) + sum(summary.errors.values())
        if not plan.inputs == summary.inputs == ended:
            raise AssertionError(f"{plan.inputs} inputs planned, {ended} accounted for: {summary}")
        return summary


def _summary_of(out: str, ledger: Ledger) -> Summary:
    summary = Summary(out)
    for _, record in ledger.records():
        if record is not None:
            summary.add(record)
    return summary


def _without_forgotten(plan: Plan, ledger: Ledger) -> Plan:
    """The plan as it is with what the dataset, and the sources of a new one, have forgotten. A
    forget that was killed is finished first, and so is the closing of shards."""
    store = ledger.store
    if closing.is_begun(store):
        closing.finish(store, strict=False)  # what is damaged is made anew, and closed then
    if removal.is_begun(store):
        removal.finish(store)
    tombstones, begun = read_tombstones(store), ledger.exists()
    if not begun and tombstones != (both := tombstones.with_more(plan.tombstones.entries)):
        tombstones = both
        store.replace(FORGOTTEN, tombstones.to_json())
    if begun:
        _must_agree(plan, ledger)
    if not tombstones:
        return plan
    shards = settle(plan.shards, ledger.shards() if begun else None, tombstones)
    return replace(plan, shards=shards)


def _must_agree(plan: Plan, ledger: Ledger) -> None:
    """A dataset must not keep what its sources have forgotten since."""
    if not plan.tombstones:
        return
    names = [name for shard in ledger.shards() for name in shard.inputs]
    kept = [n for n in names if not is_mask(n) and plan.tombstones.covers(n)]
    if kept:
        raise UsageError(
            f"holds {len(kept)} samples that its source has forgotten: {kept[0]!r}, ...",
            where=plan.out,
            next_step=f"inscene forget {plan.out} --tombstones SOURCE takes them out.",
        )


def _open_tasks(plan: Plan, ledger: Ledger, summary: Summary) -> list[ShardTask]:
    """The shards that are still to do; what is done goes into the summary."""
    quarantine = Quarantine(ledger.store)
    suspects = set(stale_marks(ledger.store))
    tasks = []
    for shard, inputs in plan.shards:
        if record := ledger.record(shard):
            summary.add(record)
            continue
        ledger.store.remove(shard.record_file)  # there, but its files are not: nothing is proved
        careful = shard.id in suspects
        tasks.append(ShardTask(shard, inputs, careful, quarantine.among(shard.inputs)))
    return tasks


class _Driver:
    """Hands out tasks and answers for what happens to them."""

    def __init__(
        self, store: Store, plan: Plan, workers: Workers, display: Display, summary: Summary
    ) -> None:
        self._store, self._plan, self._display, self._summary = store, plan, display, summary
        self._workers = workers
        self._quarantine = Quarantine(store)
        self._unexplained = 0

    def work(self, tasks: deque[ShardTask]) -> None:
        waiting = sum(len(task.inputs) for task in tasks)
        on_gpu = any(step.on_gpu for _, step in self._plan.built.steps)
        gpus = gpus_here() if on_gpu and self._workers.work_here else ()
        executor, count = self._workers.chosen(waiting, len(gpus))
        if executor == "inline" and any(task.careful for task in tasks):
            # The last run died as a whole while it worked inside this process. Should an input be
            # to blame, only a process of its own lets us see it.
            self._display.note("The last run died at work; this one uses a worker process.")
            executor = "process"
        asked = min(self._workers.count or len(tasks), len(tasks))
        try:
            with self._open_pool(
                executor, min(count, len(tasks)), gpus, asked if on_gpu else None
            ) as pool:
                if self._workers.count and pool.workers < asked:
                    self._display.note(f"One worker a GPU: {pool.workers}, not {asked}.")
                self._hand_out(tasks, pool)
        finally:
            # Workers that we ended ourselves are no deaths: their marks must not look like such.
            stale_marks(self._store)

    def _open_pool(
        self, executor: str, count: int, gpus: Sequence[str], gpu_workers: int | None
    ) -> Pool:
        """``gpu_workers``: at most so many with a GPU each, where a step wants one."""
        job, progress = Job(self._plan.built, self._plan.out), self._display.add
        if executor == "inline":
            return InlinePool(job, progress)
        if executor == "process":
            from inscene.engine.process_pool import ProcessPool

            return ProcessPool(job, count, progress, gpus[:count])
        from inscene.engine.ray_pool import RayPool

        return RayPool(job, count, progress, self._workers.ray_address, gpu_workers)

    def _hand_out(self, tasks: deque[ShardTask], pool: Pool) -> None:
        in_flight = 0
        while tasks or in_flight:
            while tasks and in_flight < pool.capacity:
                pool.submit(tasks.popleft())
                in_flight += 1
            event = pool.wait()
            in_flight -= 1
            match event:
                case Finished(task, record):
                    self._unexplained = 0
                    self._quarantine.acquit(task.shard.inputs)
                    self._summary.add(record)
                case Died(task, why):
                    tasks.appendleft(self._retry(task, why))
                case Failed(_, error):
                    raise error

    def _retry(self, task: ShardTask, why: str) -> ShardTask:
        inputs = task.shard.inputs
        if in_work := read_mark(self._store, task.shard.id, inputs):
            self._unexplained = 0
            self._quarantine.blame(in_work)
            self._store.remove(mark_file(task.shard.id))
            first = f"{in_work[0]!r}" + (f" and {len(in_work) - 1} more" if in_work[1:] else "")
            self._display.note(f"A worker was {why} at {first}; trying again.")
        else:
            self._unexplained += 1
            if self._unexplained >= UNEXPLAINED_DEATHS:
                raise MachineError(
                    f"workers die before they begin ({why})",
                    where=self._plan.out,
                    next_step="Run with --executor inline to see the error, or free some memory.",
                )
        quarantined = self._quarantine.among(inputs)
        for name in set(quarantined) - set(task.quarantined):
            self._display.note(f"{name!r} killed workers twice: quarantined.")
        return replace(task, careful=True, quarantined=quarantined)
