"""``inscene inspect --cloud``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inscene.cli.console import print_json

if TYPE_CHECKING:
    from inscene.dataset.inspect import Table


def show_cloud(table: Table, out: Path, leave_out: str, *, json: bool) -> None:
    """``leave_out``: tags with commas between them."""
    from inscene.synthetic.tags.cloud import CSV_NAME, write_cloud

    found = write_cloud(table, out, [word for word in leave_out.split(",") if word.strip()])
    counts = out.with_name(CSV_NAME)
    if json:
        facts = {"images": found.images, "untagged": found.untagged, "tags": len(found.counts)}
        print_json({"cloud": str(out), "table": str(counts), **facts})
        return
    print(f"{out}, {counts}: {len(found.counts)} tags of {found.images} images")
    if found.untagged:
        print(f"  without tags: {found.untagged}")
