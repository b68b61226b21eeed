"""The command tree."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from inscene import __version__
from inscene.cli import bench, build, dataset, degrade, demo, unbuilt
from inscene.cli.console import report_error
from inscene.errors import InsceneError

INTERRUPTED = 130  # as a shell reports SIGINT

app = typer.Typer(
    help="Build, degrade, restore and benchmark datasets for human-centric scene restoration.",
    epilog="Exit codes: 0 ok · 1 some samples had errors · 2 usage or recipe · 3 busy · "
    "4 something is missing here · 5 verification failed.",
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


app.add_typer(build.app, name="build")
app.command()(degrade.degrade)
_train = typer.Typer(help="Train FaDeX or the restorer.", no_args_is_help=True)
unbuilt.register_group(_train, "train")
app.add_typer(_train, name="train")
unbuilt.register(app, "restore")
app.command()(bench.bench)
app.command()(bench.leaderboard)
unbuilt.register(app, "inspect")
app.command()(dataset.verify)
app.command()(dataset.funnel)
unbuilt.register(app, "forget")
unbuilt.register(app, "publish")
_weights = typer.Typer(help="List, fetch and verify model weights.", no_args_is_help=True)
unbuilt.register_group(_weights, "weights")
app.add_typer(_weights, name="weights")
unbuilt.register(app, "doctor")
app.command()(demo.demo)


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        app(prog_name="inscene")
    except InsceneError as error:
        report_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("Interrupted. The same command resumes.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away: nothing to say, nobody to say it to
        sys.exit(0)
