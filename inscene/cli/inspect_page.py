"""``inscene inspect --html``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inscene.cli.console import print_json
from inscene.cli.counter import counter
from inscene.errors import UsageError

if TYPE_CHECKING:
    from inscene.dataset.distribution import Distribution
    from inscene.dataset.inspect import Table


def write_page(table: Table, out: Path, sample: int, *, json: bool) -> None:
    """``sample``: of pairs, how many are decoded for PSNR."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError("a page is an HTML file", where=str(out), next_step="Name it NAME.html.")
    from inscene.inspection.html.page import page
    from inscene.inspection.report import report

    found = report(table, _drawn(table, sample) if table.kind == "pairs" else None)
    text = page(found)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    pictures = len(found.kept) + sum(len(one.pictures) for one in found.refused)
    if json:
        facts = {"rows": found.found.survey.rows, "pictures": pictures, "bytes": len(text)}
        print_json({"page": str(out), **facts})
    else:
        print(f"{out}: {pictures} pictures, {len(text) / 1e6:.1f} MB. Open it in a browser.")


def _drawn(table: Table, sample: int) -> dict[str, Distribution]:
    from inscene.degrade.statistics import operator_statistics, psnr_statistics

    rows = table.row_count()
    drawn = dict(operator_statistics(table).parameters)
    if sample:
        with counter("psnr", min(sample, rows)) as count:
            psnr = psnr_statistics(table, rows, sample, count)
        drawn = {"PSNR of the LQ, dB": psnr.psnr_db, **drawn}
    return drawn
