"""``inscene publish``"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inscene.cli import options as opt
from inscene.cli.console import print_json, say
from inscene.errors import UsageError

if TYPE_CHECKING:
    from inscene.hub.publish import Outcome

SHOWN = 20
_IN_SPITE = "Publish in spite of (the card says so)"


def publish(
    dataset: Annotated[
        str,
        typer.Argument(
            help="Dataset folder or URL; a folder of inscene bench --out; or a checkpoint."
        ),
    ],
    repo: Annotated[
        str, typer.Option(metavar="ORG/NAME", help="On the Hub: of a dataset, or of a model.")
    ],
    contact: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="E-mail or page where people can ask to be taken out. Stands in the card.",
        ),
    ] = "",
    public: Annotated[
        bool, typer.Option("--public", help="Show it when all is verified. Default: private.")
    ] = False,
    gated: Annotated[
        bool | None,
        typer.Option(
            "--gated/--no-gated", help="Readers ask first. Default: for photos of real people."
        ),
    ] = None,
    tag: Annotated[
        str | None, typer.Option(help="Name of this version. Default: data-HASH.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Stage it, say what would be sent, and stop.")
    ] = False,
    licence: Annotated[
        str | None, typer.Option(help="Of the whole, e.g. cc-by-4.0. Default: its rows'.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the card. Default: NAME.")] = None,
    citation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="BibTeX for the card.")
    ] = None,
    content: Annotated[
        str | None,
        typer.Option(
            metavar="synthetic|real|mixed",
            help="Whom pairs or restored images show. Default: real people.",
        ),
    ] = None,
    allow_unknown_licence: Annotated[
        bool,
        typer.Option(
            "--allow-unknown-licence",
            help="Rows whose licence is not known.",
            rich_help_panel=_IN_SPITE,
        ),
    ] = False,
    allow_unknown_consent: Annotated[
        bool,
        typer.Option(
            "--allow-unknown-consent",
            help="Rows without a basis of consent.",
            rich_help_panel=_IN_SPITE,
        ),
    ] = False,
    allow_image_metadata: Annotated[
        bool,
        typer.Option(
            "--allow-image-metadata",
            help="EXIF and the like in images; never GPS.",
            rich_help_panel=_IN_SPITE,
        ),
    ] = False,
    allow_local_paths: Annotated[
        bool,
        typer.Option(
            "--allow-local-paths", help="Absolute paths in texts.", rich_help_panel=_IN_SPITE
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove data there that inscene did not publish.")
    ] = False,
    erase_history: Annotated[
        bool,
        typer.Option(
            "--erase-history", help="Remove older versions and their tags for good, after it."
        ),
    ] = False,
    read_back: Annotated[
        str, typer.Option(metavar="N|all", help="Files of each split to fetch again and compare.")
    ] = "1",
    file_mb: Annotated[int, typer.Option(min=1, help="Size of the files that are sent.")] = 500,
    staging: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where they are written first. Default: cache."),
    ] = None,
    results: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR", help="Of a checkpoint: results of inscene bench, for its card."
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Of a checkpoint: the method in the results that it is.")
    ] = None,
    json: opt.Json = False,
) -> None:
    """Publish a dataset, results or a checkpoint on the Hugging Face Hub.

    Everything is verified first, the repository is private until it is read back, and a second
    publish of the same rows sends nothing. Interrupted, the same command goes on from there. The
    token is that of 'hf auth login'.
    """
    from inscene.cli.publish_checkpoint import publish_checkpoint
    from inscene.cli.transfer import transfers
    from inscene.face2scene.document import is_checkpoint
    from inscene.hub.prepare import Request, discard, prepare
    from inscene.hub.prepare import staging as held
    from inscene.hub.publish import Goal, rehearse, send, staging_folder
    from inscene.hub.rules import Allowed
    from inscene.hub.statement import Statement

    goal = Goal(repo, public, gated, tag, replace, _files_to_read(read_back), erase_history)
    words = None if citation is None else citation.read_text("utf-8")
    statement = Statement(repo, contact, licence, title, words, gated)
    if is_checkpoint(Path(dataset)):
        of_data = {"--gated": gated is not None, "--tag": tag, "--content": content,
                   "--citation": citation, "--replace": replace, "--erase-history": erase_history,
                   "--allow-unknown-licence": allow_unknown_licence,
                   "--allow-unknown-consent": allow_unknown_consent,
                   "--allow-image-metadata": allow_image_metadata,
                   "--allow-local-paths": allow_local_paths, "--staging": staging}  # fmt: skip
        publish_checkpoint(
            Path(dataset), results or [], method, statement, of_data,
            public=public, dry_run=dry_run, as_json=json,
        )  # fmt: skip
        return
    if results or method:
        raise UsageError("--results and --method are for a checkpoint's card", where=dataset)
    allowed = Allowed.of(
        name
        for name, given in (
            ("unknown-licence", allow_unknown_licence),
            ("unknown-consent", allow_unknown_consent),
            ("image-metadata", allow_image_metadata),
            ("local-paths", allow_local_paths),
        )
        if given
    )
    request = Request(dataset, statement, allowed, _content(content), file_mb * 10**6)
    folder = staging_folder(repo, staging)
    with held(folder), transfers() as started:
        package = prepare(request, folder, started, say)
        if dry_run:
            outcome = rehearse(package, goal)
        else:
            outcome = send(package, goal, started, say)
            discard(package.staged)
    if json:
        print_json(asdict(outcome))
    else:
        _print(outcome, folder)


def _files_to_read(given: str) -> int | None:
    if given == "all":
        return None
    if not given.isdecimal():
        raise UsageError(f"--read-back takes a number or all, not {given!r}")
    return int(given)


def _content(given: str | None) -> Literal["synthetic", "real", "mixed"] | None:
    if given is None or given in ("synthetic", "real", "mixed"):
        return given  # type: ignore[return-value]
    raise UsageError(f"--content takes synthetic, real or mixed, not {given!r}")


def _print(outcome: Outcome, folder: Path) -> None:
    from inscene.weights.sizes import in_words

    splits = ", ".join(f"{name} {rows}" for name, rows in outcome.splits.items())
    would = "would be " if outcome.dry_run else ""
    print(f"{outcome.url}: {outcome.rows} rows ({splits}), {in_words(outcome.bytes)}")
    shown = list(outcome.send.items())
    for path, size in shown[:SHOWN] if not outcome.dry_run else shown:
        print(f"  {in_words(size):>9}  {path}")
    if not outcome.dry_run and len(shown) > SHOWN:
        print(f"  and {len(shown) - SHOWN} more")
    for path in outcome.delete:
        print(f"    removed  {path}")
    sent = in_words(sum(outcome.send.values()))
    print(
        f"{len(outcome.send)} files {would}sent ({sent}), {len(outcome.delete)} {would}removed, "
        f"{outcome.unchanged} there already"
    )
    state = "private" if outcome.private else "public"
    access = "readers ask first" if outcome.gated else "open to all who see it"
    at = f" · commit {outcome.commit[:12]}" if outcome.commit else ""
    print(f"{would}{state}, {access} · tag {outcome.tag}{at}")
    for note in outcome.notes:
        say(note)
    if outcome.dry_run:
        say(f"Nothing was sent. What would be is in {folder}")
