"""``inscene weights list | pull | verify | where``"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inscene.cli import options as opt
from inscene.cli.console import print_json, report_error, say
from inscene.errors import ExitCode, InsceneError, InterruptedRunError, UsageError

if TYPE_CHECKING:
    from inscene.weights.manifest import Weight
    from inscene.weights.survey import Standing

app = typer.Typer(help="List, fetch and verify model weights.", no_args_is_help=True)

_Use = Annotated[
    str | None,
    typer.Option("--for", metavar="COMMAND", help="Those that a command needs, e.g. bench."),
]
_Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", show_default=False)]


@app.command(name="list")
def list_(use: _Use = None, json: opt.Json = False) -> None:
    """What there is: for which command, how large, under which licence, and whether it is here."""
    from inscene.weights.manifest import load_manifest
    from inscene.weights.survey import facts, survey

    manifest = load_manifest()
    weights = manifest.with_needs(w.name for w in manifest.for_use(use)) if use else None
    standings = survey(list(manifest.values()) if weights is None else weights)
    if json:
        print_json([facts(standing) for standing in standings])
        return
    _print_table(standings)


@app.command()
def pull(
    names: _Names = None,
    use: _Use = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Take the files from here, under their official names; nothing is downloaded.",
        ),
    ] = None,
) -> None:
    """Fetch weights, verify them, put them in their place. Interrupted, it goes on from there.

    Who fetches a model accepts its licence: it is printed before. Proxies, HF_ENDPOINT and
    HF_HUB_OFFLINE count as in huggingface_hub.
    """
    from inscene.cli.transfer import transfers
    from inscene.weights.pull import pull as fetch

    errors: list[InsceneError] = []
    with transfers() as started:
        for weight in _chosen(names, use):
            say(
                f"{weight.name}: {weight.about} · licence: {weight.licence.name}, "
                f"{weight.licence.allows}"
            )
            try:
                pulled = fetch(weight, started, source)
            except InsceneError as error:  # the others can still be fetched
                errors.append(error)
                continue
            except KeyboardInterrupt:
                raise InterruptedRunError(
                    "interrupted", next_step="The same command goes on from there."
                ) from None
            done = [
                f"{len(files)} {word}"
                for files, word in (
                    (pulled.fetched, "fetched"),
                    (pulled.reused, "taken from this machine"),
                    (pulled.there, "already here"),
                )
                if files
            ]
            print(f"{weight.name}: {', '.join(done)}")
    for one in errors[:-1]:
        report_error(one)
    if errors:
        raise errors[-1]


@app.command()
def verify(names: _Names = None, json: opt.Json = False) -> None:
    """Hash every file that is here, and compare. Exits with 5 where one has changed."""
    from inscene.cli.transfer import transfers
    from inscene.weights.manifest import load_manifest
    from inscene.weights.survey import verify_all

    manifest = load_manifest()
    weights = [manifest[name] for name in names] if names else list(manifest.values())
    with transfers() as started:
        verdicts = verify_all(weights, started)
    for absent in [] if not names else _not_here(weights):
        say(f"not here: {absent}")
    problems = [verdict for verdict in verdicts if verdict.problem]
    if json:
        print_json([verdict.as_json() for verdict in verdicts])
    else:
        for verdict in problems:
            print(f"problem: {verdict.problem}")
        print(f"{len(verdicts)} files here, {len(verdicts) - len(problems)} sound")
    if problems:
        if not json:
            say("'inscene weights pull NAME' fetches what has changed again.")
        raise typer.Exit(ExitCode.VERIFICATION)
    if names and _not_here(weights):
        raise typer.Exit(ExitCode.MACHINE)


@app.command()
def where(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
) -> None:
    """The folder of all weights, or of one. INSCENE_WEIGHTS sets another."""
    from inscene.weights.folder import folder_of, weights_folder
    from inscene.weights.manifest import load_manifest

    print(folder_of(load_manifest()[name]) if name else weights_folder())


def _not_here(weights: list[Weight]) -> list[str]:
    from inscene.weights.survey import survey
    from inscene.weights.verify import State

    return [one.weight.name for one in survey(weights) if State.MISSING in one.states]


def _chosen(names: list[str] | None, use: str | None) -> list[Weight]:
    from inscene.weights.manifest import load_manifest

    manifest = load_manifest()
    if bool(names) == bool(use):
        raise UsageError(
            "name the weights, or say --for which command",
            next_step="'inscene weights list' shows both.",
        )
    return manifest.with_needs(names or [weight.name for weight in manifest.for_use(use or "")])


def _print_table(standings: list[Standing]) -> None:
    from rich.console import Console
    from rich.table import Table

    from inscene.weights.folder import weights_folder
    from inscene.weights.sizes import in_words

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("weight", "here", "download", "licence", "business", "for"):
        right = title == "download"
        name = title == "weight"
        table.add_column(
            title,
            justify="right" if right else "left",
            no_wrap=title in ("here", "download", "business"),
            overflow="fold",
            min_width=16 if name else None,
        )
    for standing in standings:
        weight = standing.weight
        table.add_row(
            weight.name,
            standing.in_words,
            in_words(weight.download_bytes or None),
            weight.licence.name + (" (gated)" if weight.gated else ""),
            weight.licence.commercial,
            ", ".join(use.rpartition(" ")[2] for use in weight.uses) or "on demand",
        )
    wide = None if sys.stdout.isatty() else 200  # a line each, for programs that read lines
    Console(width=wide).print(table, markup=False)
    here = sum(standing.is_here for standing in standings)
    lacking = sum(s.weight.download_bytes for s in standings if not s.is_here)
    say(
        f"{here} of {len(standings)} here, in {weights_folder()}"
        + (f"; {in_words(lacking)} to download" if lacking else "")
    )
