"""The last part of a run: its closing steps, over the rows of all shards."""

from __future__ import annotations

from collections.abc import Sequence

from inscene.dataset import closing
from inscene.dataset.closing import ClosingDrop, Decision
from inscene.dataset.ledger import Ledger
from inscene.dataset.rewrite import Row
from inscene.engine.closing_step import ClosingStep
from inscene.engine.progress import Display

Named = tuple[str, ClosingStep]


def close(ledger: Ledger, steps: Sequence[Named], display: Display) -> bool:
    """Decide, where nothing is decided yet, and do it; False where nothing was left to do. For the
    holder of the lock, when all shards are done."""
    if not closing.still_to_do(ledger):
        return False
    if not closing.is_begun(ledger.store):
        display.note(f"closing: {', '.join(name for name, _ in steps)}")
        closing.begin(ledger.store, decide(ledger, steps))
    closing.finish(ledger.store, lambda dropped: display.add(0, -dropped, dropped, 0))
    return True


def decide(ledger: Ledger, steps: Sequence[Named]) -> Decision:
    """What the steps say of the stored rows."""
    columns = sorted({column for _, step in steps for column in step.reads})
    return decide_rows(list(closing.rows_to_close(ledger, columns)), steps)


def decide_rows(rows: Sequence[Row], steps: Sequence[Named]) -> Decision:
    """Each step sees what those before it have left."""
    rows = sorted(rows, key=lambda row: str(row["input"]))
    drops: list[tuple[str, dict[str, ClosingDrop]]] = []
    for name, step in steps:
        leaving = step.decide(rows)
        rows = [row for row in rows if row["input"] not in leaving]
        drops.append((name, leaving))
    return Decision(tuple(drops))
