"""How the columns of somebody else's dataset are read, for ``inspect`` to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inscene.cli.bars import Painter
    from inscene.dataset.foreign import Columns
    from inscene.dataset.inspect import Table

BOXES = {"xyxy": "two corners", "xywh": "a corner and a size"}


def mappings(table: Table) -> list[dict[str, Any]]:
    """One for the files that are read in the same way; none of a table of this tool."""
    by_reading: dict[Columns, list[str]] = {}
    for name, reading in zip(table.files, table.readings, strict=False):
        by_reading.setdefault(reading, []).append(name)
    return [
        {
            "files": files,
            "read": dict(reading.theirs),
            "box": reading.box,
            "not_read": dict(reading.unread),
        }
        for reading, files in by_reading.items()
    ]


def show_mappings(painter: Painter, table: Table) -> None:
    for mapping in mappings(table):
        files, read = mapping["files"], mapping["read"]
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        painter.title(f"columns of {files[0]}{more}")
        width = max(map(len, read))
        for ours, theirs in read.items():
            form = BOXES.get(mapping["box"] or "") if ours == "face_bbox" else None
            painter.line(f"  {ours:<{width}} is {theirs}" + (f", as {form}" if form else ""))
        for theirs, why in mapping["not_read"].items():
            painter.line(f"  not read: {theirs} ({why})")
