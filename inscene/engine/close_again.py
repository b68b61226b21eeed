"""What closing steps would decide, were thresholds others: they decide again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from inscene.dataset.closing import rows_to_close
from inscene.dataset.ledger import Ledger
from inscene.engine.close import Named, decide_rows
from inscene.engine.registry import closing_step_class


@dataclass
class Again:
    """``step/reason`` -> sample ids."""

    lost: dict[str, list[str]] = field(default_factory=dict)
    """Kept rows that would be dropped."""
    gained: dict[str, list[str]] = field(default_factory=dict)
    """Rows that were dropped for this, and would be kept."""


def close_again(
    ledger: Ledger,
    steps: Sequence[Named],
    dropped: Mapping[str, str],
    without: Collection[str],
) -> Again:
    """``dropped`` are the samples that closing steps dropped, with ``step/reason``; ``without`` are
    those, kept or dropped, that would no longer come so far."""
    columns = sorted({column for _, step in steps for column in step.reads})
    rows = [row for row in rows_to_close(ledger, columns) if row["sample_id"] not in without]
    leaving = decide_rows(rows, steps).of(row["input"] for row in rows)
    again = Again()
    for row in rows:
        name = row["sample_id"]
        if row["input"] in leaving and name not in dropped:
            step, drop = leaving[row["input"]]
            again.lost.setdefault(f"{step}/{drop.reason}", []).append(name)
        elif row["input"] not in leaving and name in dropped:
            again.gained.setdefault(dropped[name], []).append(name)
    return again


def rebuilt(
    closing: Sequence[Mapping[str, Any]], changed: Mapping[str, Mapping[str, Any]]
) -> list[Named]:
    """The closing steps of a fingerprint, with new parameters. Raises :class:`RecipeError` for a
    step of somebody's own that is not here."""
    found = []
    for facts in closing:
        name = str(facts["step"])
        parameters = {key: value for key, value in facts.items() if key not in ("step", "version")}
        kind = closing_step_class(name)
        step = TypeAdapter(kind).validate_python({**parameters, **changed.get(name, {})})
        found.append((name, step))
    return found
