"""What a finished dataset would be with other thresholds, told from the scores that it stores.

No model runs and no image is read: a step says, row by row, what it would have decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from inscene.dataset.closing import still_to_do
from inscene.dataset.ledger import Ledger
from inscene.dataset.parquet import read_present
from inscene.dataset.store import open_store
from inscene.engine.close_again import close_again, rebuilt
from inscene.engine.closing_step import ClosingStep
from inscene.engine.registry import closing_step_class, step_class
from inscene.engine.step import Step, Threshold
from inscene.errors import RecipeError, UsageError
from inscene.schema import DROPS, KINDS
from inscene.suggest import did_you_mean

READ = ("sample_id", "step", "kind", "reason", "scores", "shot", "attempt", "tries")


@dataclass(frozen=True)
class Change:
    """One threshold, and where it is."""

    key: str
    """STEP.NAME"""
    was: Any
    now: Any


@dataclass
class WhatIf:
    changes: list[Change]
    kept: int = 0
    """Rows in the dataset as it is."""
    lost: dict[str, list[str]] = field(default_factory=dict)
    """step/reason -> kept rows that would be dropped for it, by sample id."""
    gained: dict[str, list[str]] = field(default_factory=dict)
    """step/reason of their drop -> dropped rows that the step would let pass. What the steps after
    it say of them, nobody knows."""
    other_image: list[str] = field(default_factory=list)
    """Kept rows that would be kept as another image, an earlier try."""
    unknown: dict[str, list[str]] = field(default_factory=dict)
    """Why -> rows, kept or dropped, of which the stored scores cannot tell."""
    kept_unknown: int = 0
    """How many of those are kept rows."""
    not_asked: list[str] = field(default_factory=list)
    """Steps after the changed ones that may drop what is gained."""

    def count(self, name: str) -> int:
        return sum(len(rows) for rows in getattr(self, name).values())


@dataclass(frozen=True)
class _Asked:
    """A step with new thresholds."""

    place: int
    name: str
    kind: type[Step]
    facts: Mapping[str, Any]
    changed: dict[str, Any]


def what_if(location: str, settings: Sequence[str]) -> WhatIf:
    """``settings`` are KEY=VALUE, where a key is STEP.NAME, or NAME where no other ends so.

    Raises :class:`UsageError` for what is no threshold here.
    """
    ledger = Ledger(open_store(location))
    fingerprint = ledger.fingerprint()
    steps, closing = fingerprint["steps"], fingerprint.get("closing", [])
    changes, asked, of_closing = _parse(settings, steps, closing)
    result = WhatIf(changes)
    if asked:
        later = [*steps[asked[0].place + 1 :], *closing]
        result.not_asked = [facts["step"] for facts in later]
    closers = {facts["step"] for facts in closing}
    closed: dict[str, str] = {}
    unclosed: set[str] = set()
    kind = KINDS[fingerprint["makes"]]
    for shard, record in ledger.records():
        if record is None:
            continue
        for row in _rows(ledger, shard.data_file, kind.schema.names):
            result.kept += 1
            _ask_kept(result, row, asked)
        for row in _rows(ledger, shard.drops_file, DROPS.schema.names):
            if row["step"] in closers:
                closed[row["sample_id"]] = f"{row['step']}/{row['reason']}"
                if not _comes_so_far(result, row, asked):
                    unclosed.add(row["sample_id"])
            elif row["kind"] == "drop":
                _ask_dropped(result, row, asked)
    unclosed |= {name for rows in result.lost.values() for name in rows}
    if closing and (of_closing or unclosed):
        if still_to_do(ledger):
            raise UsageError(
                f"is unfinished: {', '.join(sorted(closers))} is still to do", where=location
            )
        again = close_again(ledger, rebuilt(closing, of_closing), closed, unclosed)
        for reasons, more in ((result.lost, again.lost), (result.gained, again.gained)):
            for reason, rows in more.items():
                reasons.setdefault(reason, []).extend(rows)
    return result


def _rows(ledger: Ledger, file: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    wanted = [name for name in READ if name in names]
    yield from read_present(ledger.store, file, wanted).to_pylist()


def _ask_kept(result: WhatIf, row: dict[str, Any], asked: Sequence[_Asked]) -> None:
    """Every step in turn: the first that would drop it, does."""
    other = False
    for one in asked:
        answer = one.kind.redecide(one.facts, one.changed, row)
        if answer.outcome == "unknown":
            result.unknown.setdefault(answer.reason, []).append(row["sample_id"])
            result.kept_unknown += 1
            return
        if answer.outcome == "drop":
            result.lost.setdefault(f"{one.name}/{answer.reason}", []).append(row["sample_id"])
            return
        other = other or answer.other_image
    if other:
        result.other_image.append(row["sample_id"])


def _comes_so_far(result: WhatIf, row: dict[str, Any], asked: Sequence[_Asked]) -> bool:
    """Whether a row that a closing step dropped would still be kept by all steps before."""
    as_kept = {name: row[name] for name in row if name not in ("step", "kind", "reason")}
    for one in asked:
        answer = one.kind.redecide(one.facts, one.changed, as_kept)
        if answer.outcome == "unknown":
            result.unknown.setdefault(answer.reason, []).append(row["sample_id"])
        if answer.outcome != "keep":
            return False
    return True


def _ask_dropped(result: WhatIf, row: dict[str, Any], asked: Sequence[_Asked]) -> None:
    """A row that another step dropped has not passed the steps after it, and stays dropped."""
    for one in asked:
        if one.name == row["step"]:
            answer = one.kind.redecide(one.facts, one.changed, row)
            if answer.outcome == "keep":
                reason = f"{row['step']}/{row['reason']}"
                result.gained.setdefault(reason, []).append(row["sample_id"])
            elif answer.outcome == "unknown":
                result.unknown.setdefault(answer.reason, []).append(row["sample_id"])


def _parse(
    settings: Sequence[str],
    steps: Sequence[Mapping[str, Any]],
    closing: Sequence[Mapping[str, Any]],
) -> tuple[list[Change], list[_Asked], dict[str, dict[str, Any]]]:
    """Also, by name, what changes in closing steps."""
    known: dict[str, tuple[int, str, Threshold]] = {}
    kinds: dict[int, type[Step] | type[ClosingStep]] = {}
    every = [*steps, *closing]
    for place, facts in enumerate(every):
        find = step_class if place < len(steps) else closing_step_class
        try:
            kinds[place] = find(facts["step"])
        except RecipeError:
            continue  # a step of somebody's own that is not here
        for name, threshold in kinds[place].thresholds(facts).items():
            known[f"{facts['step']}.{name}"] = (place, name, threshold)
    if not known:
        raise UsageError("no step of this dataset has thresholds that can be moved afterwards")
    changes: list[Change] = []
    asked: dict[int, _Asked] = {}
    of_closing: dict[str, dict[str, Any]] = {}
    for setting in settings:
        written, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(
                f"--set {setting!r} is not KEY=VALUE", next_step=f"For example {min(known)}=0.5."
            )
        key = _full_key(written, known)
        place, name, threshold = known[key]
        facts, kind = every[place], kinds[place]
        if facts["version"] != kind.version:
            raise UsageError(
                f"the step {facts['step']!r} was of version {facts['version']}, "
                f"and is {kind.version} now: its scores mean something else"
            )
        value = _value(setting, text, threshold)
        changes.append(Change(key, threshold.value, value))
        if issubclass(kind, ClosingStep):
            of_closing.setdefault(facts["step"], {})[name] = value
        else:
            one = asked.setdefault(place, _Asked(place, facts["step"], kind, facts, {}))
            one.changed[name] = value
    return changes, [asked[place] for place in sorted(asked)], of_closing


def _full_key(written: str, known: Mapping[str, Any]) -> str:
    if written in known:
        return written
    ending = [key for key in known if key.endswith(f".{written}")]
    if len(ending) == 1:
        return ending[0]
    short = {key.partition(".")[2] for key in known}
    raise UsageError(
        f"--set: {written!r} is no threshold that can be moved afterwards",
        why="Several steps have one of this name." if ending else None,
        next_step=did_you_mean(written, ending or {*known, *(s for s in short if "." in s)}),
    )


def _value(setting: str, text: str, threshold: Threshold) -> Any:
    try:
        return TypeAdapter(threshold.type).validate_python(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise UsageError(f"--set {setting!r}: {problem}") from error
