"""A board as sheets: its means, and its comparison with a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inscene.bench.leaderboard.board import Board, Cell, Line, displayed
from inscene.bench.leaderboard.intervals import FEW_CLUSTERS, RESAMPLES, SEED
from inscene.bench.leaderboard.paired import EXACT_CLUSTERS, SIGNIFICANT, Comparison
from inscene.bench.leaderboard.published import PublishedBlock, column_of
from inscene.bench.leaderboard.ranking import Mark
from inscene.bench.leaderboard.sheet import DOWN, UP, Entry, Head, Notes, Row, Section, Sheet
from inscene.quality.registry import Metric

INCOMPLETE = "* not every sample has a value: not ranked"
_NOT_AVAILABLE = "n/a"


def board_sheets(board: Board, published: Sequence[PublishedBlock] = ()) -> list[Sheet]:
    sheets = [_means(board, published)]
    if board.baseline is not None and any(line.against_baseline for line in board.lines):
        sheets.append(_comparison(board))
    return sheets


def _means(board: Board, published: Sequence[PublishedBlock]) -> Sheet:
    notes = Notes()
    marked = {metric.key: board.marks(metric) for metric in board.metrics}
    rows = tuple(Row(line.method, _entries(board, line, marked, notes)) for line in board.lines)
    heads = [Head("method"), *(metric_head(metric) for metric in board.metrics)]
    if board.baseline is not None:
        heads.append(Head(f"wins vs {board.baseline}"))
    heads += [Head("n"), Head("s/image")]
    sections = [Section(rows)]
    sections += [_published(board, block, len(heads) - 1) for block in published]
    return Sheet(
        title=board.title,
        heads=tuple(heads),
        sections=tuple(section for section in sections if section.rows),
        notes=tuple(notes.texts),
        remarks=tuple(_remarks(board)),
    )


def metric_head(metric: Metric) -> Head:
    return Head(metric.title, UP if metric.higher_is_better else DOWN)


def _entries(
    board: Board, line: Line, marked: dict[str, dict[str, Mark]], notes: Notes
) -> tuple[Entry, ...]:
    entries = [
        _entry(board, line, metric, marked[metric.key].get(line.method, Mark.none), notes)
        for metric in board.metrics
    ]
    if board.baseline is not None:
        entries.append(_wins(board, line))
    entries.append(Entry(str(line.samples), number=line.samples))
    seconds = line.restore_s
    entries.append(Entry("") if seconds is None else Entry(_seconds(seconds), number=seconds))
    return tuple(entries)


def _entry(board: Board, line: Line, metric: Metric, mark: Mark, notes: Notes) -> Entry:
    cell = line.cells.get(metric.key)
    if cell is None:
        why = _failure_notes(line, notes) if not line.cells else ()
        return Entry(
            _NOT_AVAILABLE,
            notes=why or (notes.number(f"{line.method} was not scored with {metric.title}."),),
        )
    if cell.mean is None:
        return Entry(_NOT_AVAILABLE, notes=(notes.number(_why(metric, cell)),))
    text = displayed(metric, cell.mean)
    detail = ""
    if cell.interval is not None:
        low, high = (displayed(metric, end) for end in (cell.interval.low, cell.interval.high))
        detail = f"[{low}, {high}]"
    if board.complete(line, metric.key):
        return Entry(text, detail, mark, number=cell.mean)
    reasons = (notes.number(_why(metric, cell)),) if cell.missing else ()
    return Entry(
        f"{text}* (n={cell.scored})",
        detail,
        notes=(*reasons, *_failure_notes(line, notes)),
        number=cell.mean,
    )


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"


def _failure_notes(line: Line, notes: Notes) -> tuple[int, ...]:
    if not line.failures:
        return ()
    return (notes.number(f"{line.method} has no output: {_counted(line.failures)}."),)


def _why(metric: Metric, cell: Cell) -> str:
    if cell.unavailable is None:
        return f"{metric.title} has no value: {_counted(cell.missing)}."
    reason = str(cell.unavailable.get("reason", "not available here")).rstrip(".")
    next_step = str(cell.unavailable.get("next_step", ""))
    if metric.weights and "weights pull" not in next_step:
        pull = f"inscene weights pull {' '.join(metric.weights)}"
        next_step = f"{next_step} Weights: {pull}".strip()
    return f"{metric.title}: {reason}. {next_step}".rstrip()


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items()))


def _wins(board: Board, line: Line) -> Entry:
    won = board.wins(line)
    if won is None:
        return Entry("baseline")
    if not won.of:
        return Entry("–")
    return Entry(str(won), f"{board.significant_wins(line)} significant", number=won.won / won.of)


def _remarks(board: Board) -> list[str]:
    remarks = []
    incomplete = any(
        line.has(metric.key) and not board.complete(line, metric.key)
        for line in board.lines
        for metric in board.metrics
    )
    if incomplete:
        remarks.append(INCOMPLETE)
    if oracles := [line.method for line in board.lines if line.is_oracle]:
        remarks.append(f"{', '.join(oracles)}: looked at the clean images: not ranked")
    if any(cell.interval for line in board.lines for cell in line.cells.values()):
        few = " Of so few they come out too narrow." if board.clusters < FEW_CLUSTERS else ""
        remarks.append(
            f"[…] 95 % intervals: {RESAMPLES:,} resamples of {_clusters(board)}, seed {SEED}.{few}"
        )
    elif board.clusters == 1:
        remarks.append("No intervals: all images are of one person, or versions of one sample.")
    if any(metric.of == "set" for metric in board.metrics):
        remarks.append(
            "FID: a value of the whole set, biased upwards where n is small; compare at equal n."
        )
    return remarks


def _clusters(board: Board) -> str:
    each = {"identities": "a person each", "samples": "a sample with all its versions each"}
    what = each.get(board.clusters_are, "a person each, or a sample whose person is unknown")
    return f"{board.clusters} clusters ({what})"


def _published(board: Board, block: PublishedBlock, width: int) -> Section:
    keys = {column_of(name).key: name for name in block.metrics}
    rows = []
    for row in block.rows:
        entries = []
        for metric in board.metrics:
            value = row.values.get(keys.get(metric.key, ""), "")
            entries.append(Entry(value, number=float(value)) if value else Entry(""))
        if any(entry.text for entry in entries):
            padding = [Entry("")] * (width - len(entries))
            rows.append(Row(row.name, (*entries, *padding)))
    return Section(tuple(rows), f"published, not measured here: {block.title}", published=True)


def _comparison(board: Board) -> Sheet:
    compared = {key for line in board.lines for key in line.against_baseline}
    metrics = [metric for metric in board.metrics if metric.key in compared]
    rows = tuple(
        Row(
            line.method,
            tuple(_difference(metric, line.against_baseline.get(metric.key)) for metric in metrics),
        )
        for line in board.lines
        if line.method != board.baseline
    )
    return Sheet(
        title=f"{board.title}: differences to {board.baseline}, sample by sample",
        heads=(Head("method"), *(metric_head(metric) for metric in metrics)),
        sections=(Section(rows),),
        remarks=(
            f"[…] 95 % interval of the mean difference; share of samples on which the method is "
            f"better; p of a sign-flip test over {_clusters(board)} "
            f"({'exact' if board.clusters <= EXACT_CLUSTERS else '10,000 flips'}), "
            "Holm-corrected for the metrics.",
            f"† p < {SIGNIFICANT}",
        ),
    )


def _difference(metric: Metric, one: Comparison | None) -> Entry:
    if one is None:
        return Entry(_NOT_AVAILABLE)
    parts = [f"{one.win_rate:.0%}", _p(one.p_holm)]
    if one.interval is not None:
        low, high = (_signed(metric, end) for end in (one.interval.low, one.interval.high))
        parts.insert(0, f"[{low}, {high}]")
    text = _signed(metric, one.difference) + ("†" if one.significant else "")
    return Entry(text, " · ".join(parts), number=one.difference)


def _p(value: float) -> str:
    return "p<0.001" if value < 0.001 else f"p={value:.3f}"


def _signed(metric: Metric, value: float) -> str:
    text = displayed(metric, value)
    return text if text.startswith("-") or not text.strip("0.") else f"+{text}"
