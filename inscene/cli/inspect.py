"""``inscene inspect``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inscene.cli import options as opt
from inscene.cli.console import print_json
from inscene.cli.counter import counter
from inscene.errors import ExitCode

if TYPE_CHECKING:
    from inscene.cli.bars import Painter
    from inscene.dataset.inspect import Survey
    from inscene.degrade.statistics import OperatorStatistics, PsnrStatistics

FACES_ON_A_SHEET = 40


def inspect(
    dataset: Annotated[str, typer.Argument(help="Dataset folder or Parquet file; path or URL.")],
    sample: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Pairs to decode for PSNR, evenly spread; 0: none."),
    ] = 500,
    faces: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Write a sheet of scenes with their faces instead."),
    ] = None,
    cloud: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Write a cloud of the scenes' tags, and tags.csv by it."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="PAGE", help="Write one HTML page with all of it and the pictures."),
    ] = None,
    leave_out: Annotated[
        str,
        typer.Option(metavar="TAGS", help="Of the cloud: man,woman,... The table has them all."),
    ] = "",
    json: opt.Json = False,
) -> None:
    """Show what is in a dataset: counts, sizes, scores.

    Of pairs also the parameters that were drawn, and the PSNR of the LQ images; of datasets that
    other tools wrote how their columns are read.
    """
    from inscene.cli.columns import mappings, show_mappings
    from inscene.dataset.inspect import open_table, survey

    table = open_table(dataset)
    if faces is not None:
        from inscene.faces.sheet import write_face_sheet

        on_it = write_face_sheet(table, faces, FACES_ON_A_SHEET)
        if json:
            print_json({"sheet": str(faces), "faces": on_it})
        else:
            print(f"{faces}: {on_it} faces")
        return
    if cloud is not None:
        from inscene.cli.cloud import show_cloud

        show_cloud(table, cloud, leave_out, json=json)
        return
    if html is not None:
        from inscene.cli.inspect_page import write_page

        write_page(table, html, sample, json=json)
        return
    found = survey(table)
    columns = {"columns": mappings(table)} if table.readings else {}
    if table.kind != "pairs":
        if json:
            print_json({**found.to_json(), **columns})
        else:
            _show_other(_painter(), found)
            show_mappings(_painter(), table)
        return

    from inscene.degrade.statistics import operator_statistics, psnr_statistics

    operators = operator_statistics(table)
    with counter("psnr", min(sample, found.rows)) as count:
        psnr = psnr_statistics(table, found.rows, sample, count)
    if json:
        pairs = {"operators": operators.to_json(), "psnr": psnr.to_json()}
        print_json({**found.to_json(), **pairs, **columns})
    else:
        _show_pairs(_painter(), found, operators, psnr)
        show_mappings(_painter(), table)
    if operators.unreadable_records or psnr.without:
        raise typer.Exit(ExitCode.PARTIAL)


def _painter() -> Painter:
    from rich.console import Console

    from inscene.cli.bars import Painter

    return Painter(Console())


def _show_other(painter: Painter, found: Survey) -> None:
    named = "" if found.samples == found.rows else f" · {_many(found.samples, 'sample')}"
    painter.line(f"{found.dataset}: {found.kind} · {_many(found.rows, 'row')}{named}")
    _show_unfinished(painter, found)
    _show_counts(painter, found)
    if found.numbers:
        painter.title("numbers")
        painter.numbers(found.numbers)


def _show_unfinished(painter: Painter, found: Survey) -> None:
    if found.unfinished:
        shards = _many(found.unfinished, "shard")
        painter.line(f"  unfinished: {shards} to do, whose rows are not here")


def _show_counts(painter: Painter, found: Survey) -> None:
    for name, counts in {"size, px": found.sizes, **found.counts}.items():
        if len(counts) == 1:
            painter.line(f"  {name}: {next(iter(counts))}")
    for name, counts in {"size, px": found.sizes, **found.counts}.items():
        if len(counts) > 1:
            painter.title(name)
            painter.words(counts)


def _show_pairs(
    painter: Painter, found: Survey, operators: OperatorStatistics, psnr: PsnrStatistics
) -> None:
    fewest, most = operators.versions
    each = _many(most, "version") if fewest == most else f"{fewest} to {most} versions"
    painter.line(
        f"{found.dataset}: pairs · {_many(found.rows, 'row')} · "
        f"{_many(operators.clean_images, 'clean image')} · {each} of each"
    )
    _show_unfinished(painter, found)
    shared = operators.shared_operators or "none"
    painter.line(
        f"  operators: {operators.operators} distinct, {shared} shared by 2 or more images"
    )
    profiles = ", ".join(f"{name} ({count})" for name, count in operators.profiles.items())
    painter.line(f"  profiles: {profiles or 'unknown'}")
    if len(psnr.lq_sizes) == 1:
        painter.line(f"  LQ size, px: {next(iter(psnr.lq_sizes))}")
    _show_counts(painter, found)
    if len(psnr.lq_sizes) > 1:
        painter.title("LQ size, px")
        painter.words(psnr.lq_sizes)
    _show_parameters(painter, found, operators)
    _show_psnr(painter, found, psnr)


def _show_parameters(painter: Painter, found: Survey, operators: OperatorStatistics) -> None:
    from inscene.cli.bars import number_or_word

    if operators.without_record:
        painter.line(f"  without a record: {_many(operators.without_record, 'row')}")
    if operators.unreadable_records:
        painter.line(f"  records that cannot be read: {operators.unreadable_records}")
    always = {
        name: number_or_word(values.constant)
        for name, values in operators.parameters.items()
        # What occurs once among many was drawn once.
        if values.constant is not None and values.count >= min(2, found.rows)
    }
    varying = {name: values for name, values in operators.parameters.items() if name not in always}
    if always:
        painter.title("the same in every record that has it")
        painter.listing(f"{name} {value}" for name, value in always.items())
    if any(values.numbers for values in varying.values()):
        painter.title("numbers that were drawn")
        painter.numbers(varying)
    for name, values in varying.items():
        if values.words and not values.numbers:
            painter.title(name)
            painter.words(values.words)


def _show_psnr(painter: Painter, found: Survey, psnr: PsnrStatistics) -> None:
    if not psnr.looked_at:
        return
    which = f"all {found.rows}" if psnr.looked_at == found.rows else f"{psnr.looked_at} of the"
    painter.title(f"PSNR of the LQ to the clean image at LQ size (area mean), RGB, {which} rows")
    numbers = psnr.psnr_db.numbers
    if numbers:
        figures = ("mean", "sd", "min", "median", "max")
        values = " · ".join(f"{name} {getattr(numbers, name):.2f}" for name in figures)
        painter.line(f"  {values} dB")
        painter.histogram(numbers, bins=10)
    for reason, count in psnr.without.items():
        painter.line(f"  no PSNR for {_many(count, 'row')}: {reason}")


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
