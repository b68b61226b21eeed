"""The command tree."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from inscene import __version__
from inscene.cli import (
    bench,
    build,
    dataset,
    degrade,
    demo,
    doctor,
    forget,
    inspect,
    leaderboard,
    publish,
    restore,
    split,
    train,
    weights,
)
from inscene.cli.console import report_error
from inscene.errors import InsceneError, MachineError

app = typer.Typer(
    help="Build, degrade, restore and benchmark datasets for human-centric scene restoration.",
    epilog="Exit codes: 0 ok · 1 some samples had errors · 2 usage or recipe · 3 busy · "
    "4 something is missing here · 5 verification failed, or a regression.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"inscene {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    pass


MAKE, MEASURE, SHARE, MACHINE = "Make data", "Restore and measure", "Look and share", "This machine"

app.add_typer(build.app, name="build", rich_help_panel=MAKE)
app.command(rich_help_panel=MAKE)(split.split)
app.command(rich_help_panel=MAKE)(degrade.degrade)
app.add_typer(train.app, name="train", rich_help_panel=MEASURE)
app.command(rich_help_panel=MEASURE)(restore.restore)
app.command(rich_help_panel=MEASURE)(bench.bench)
app.command(rich_help_panel=MEASURE)(leaderboard.leaderboard)
app.command(rich_help_panel=SHARE)(inspect.inspect)
app.command(rich_help_panel=SHARE)(dataset.verify)
app.command(rich_help_panel=SHARE)(dataset.funnel)
app.command(rich_help_panel=SHARE)(forget.forget)
app.command(rich_help_panel=SHARE)(publish.publish)
app.add_typer(weights.app, name="weights", rich_help_panel=MACHINE)
app.command(rich_help_panel=MACHINE)(doctor.doctor)
app.command(rich_help_panel=MACHINE)(demo.demo)


def main() -> None:
    """Run the command line and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an arrow must not end a run on an ASCII terminal
            stream.reconfigure(errors="replace")
    try:
        app(prog_name="inscene")
    except InsceneError as error:
        report_error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        where = str(error.filename) if error.filename else None
        report_error(MachineError(error.strerror or str(error), where=where))
        sys.exit(MachineError.exit_code)
