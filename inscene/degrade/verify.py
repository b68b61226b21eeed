"""Degrades rows of a dataset of pairs again, and compares with what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inscene.dataset.distribution import spread
from inscene.dataset.inspect import Table, open_table
from inscene.dataset.ledger import Ledger
from inscene.degrade.pair_images import PairImages
from inscene.degrade.psf_field import PsfField
from inscene.degrade.record import replay
from inscene.errors import SampleError, UsageError, VerificationError
from inscene.images import pixel_hash


@dataclass
class Replayed:
    """What :func:`replay_rows` found. ``problems`` is empty where every LQ came out as stored."""

    rows: int = 0
    """Looked at."""
    of: int = 0
    problems: list[str] = field(default_factory=list)


def open_pairs(location: str) -> Table:
    """As :func:`open_table`; ``UsageError`` for a dataset that holds no pairs."""
    table = open_table(location)
    if table.kind != "pairs" or table.readings:
        raise UsageError(
            f"holds {table.kind}{' of another tool' * bool(table.readings)}, and nothing to replay",
            where=location,
            next_step="Name a dataset that inscene degrade wrote.",
        )
    return table


def replay_rows(
    table: Table, rows: int, sample: int, on_row: Callable[[], None] = lambda: None
) -> Replayed:
    """Replay up to ``sample`` of the table's ``rows`` rows, evenly spread, the same each time.

    ``on_row`` is called after each.
    """
    psf_field = _psf_field(table)
    result, decoded = Replayed(of=rows), PairImages()
    columns = ("sample_id", "version", "lq", "hq", "operator")
    for row in table.rows_at(spread(rows, sample), columns):
        if problem := _problem(row, decoded, psf_field):
            result.problems.append(f"{row['sample_id']}@{row['version']}: {problem}")
        result.rows += 1
        on_row()
    return result


def _psf_field(table: Table) -> PsfField | None:
    """The one that the recipe of the dataset's run holds."""
    ledger = Ledger(table.store)
    steps = ledger.fingerprint()["steps"] if ledger.exists() else []
    fields = [step["psf_field"] for step in steps if step.get("psf_field")]
    return PsfField.from_dict(fields[0]) if fields else None


def _problem(row: Mapping[str, Any], decoded: PairImages, psf_field: PsfField | None) -> str | None:
    try:
        made = replay(decoded.hq(row), json.loads(row["operator"]), psf_field)
        if pixel_hash(made) != pixel_hash(decoded.lq(row)):
            return "the stored LQ is not the one that its record speaks of"
    except SampleError as error:
        return f"{error.reason}: {error.detail}"
    except (UsageError, VerificationError) as error:
        return f"{error.what}. {error.why}" if error.why else error.what
    except (KeyError, TypeError, ValueError) as error:
        return f"its record cannot be read ({type(error).__name__}: {error})"
    return None
