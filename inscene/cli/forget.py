"""``inscene forget``"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from inscene.cli import options as opt
from inscene.cli.console import print_json, say
from inscene.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from inscene.dataset.forget import Removal

SHOWN = 10


def forget(
    dataset: opt.Dataset,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Samples, as sample_id has them.")
    ] = None,
    identity: Annotated[
        str | None, typer.Option(metavar="PERSON", help="Every sample of this person.")
    ] = None,
    tombstones: Annotated[
        str | None,
        typer.Option(
            metavar="FROM", help="What another dataset has forgotten; or its forgotten.json."
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Kept beside the hashes. No names: it is there to be read.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: opt.Json = False,
) -> None:
    """Take samples out of a dataset for good, and refuse them from then on.

    Rows, images, thumbnails and ids go; hashes stay, so that no later run brings them back. Without
    a sample, finishes what was interrupted.
    """
    from inscene.dataset import forget as forgetting
    from inscene.dataset.tombstones import NONE, tombstones_at

    other = NONE if tombstones is None else tombstones_at(tombstones)
    asked = forgetting.Asked(tuple(ids or ()), identity, other, reason)

    def confirm(found: Removal) -> bool:
        _show(found)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError(
                "needs a yes", where="inscene forget", next_step="Nobody can be asked: add --yes."
            )
        return typer.confirm("Forget them? There is no way back.", err=True)

    found = forgetting.forget(dataset, asked, confirm)
    if found is None:
        say("Nothing was changed.")
        raise typer.Exit(ExitCode.USAGE)
    if json:
        print_json(asdict(found))
    else:
        _report(found, other_was_given=tombstones is not None)
    if found.unseen_shards:
        raise typer.Exit(ExitCode.PARTIAL)


def _show(found: Removal) -> None:
    say(
        f"{found.dataset}: to forget: {_many(found.samples, 'sample')}, with "
        f"{_many(found.rows, 'row')} and {_many(found.drops, 'drop')}; "
        f"{_many(found.shards, 'shard')} to write anew"
    )
    if found.unfinished:
        say(f"  {found.unfinished} of them not made yet: the run will leave them out")
    if found.by_image:
        say(f"  not named, but the same image: {_some(found.by_image)}")


def _report(found: Removal, *, other_was_given: bool) -> None:
    where = found.dataset
    if found.resumed:
        print(f"{where}: finished what an earlier call had begun")
    print(
        f"{where}: forgot {_many(found.samples, 'sample')}: {_many(found.rows, 'row')} and "
        f"{_many(found.drops, 'drop')} of {_many(found.shards, 'shard')}"
    )
    if found.already:
        print(f"  {found.already} of those named were forgotten before")
    if found.below_label:
        print(f"  refused inputs in a folder of that name stay: {_some(found.below_label)}")
        print(f"    no row says whose they are; name them: inscene forget {where} ID...")
    if found.unseen_shards:
        print(
            f"  {_many(found.unseen_shards, 'shard')} still to do, which may show the person: "
            "give the same command again when the run is done"
        )
    if not found.samples:
        return
    print("What else may hold them:")
    if not other_was_given:
        print("  the photos that it was made from: delete them")
    print("  datasets made from it (pairs, face pairs, restored images, results), each by:")
    print(f"    inscene forget OTHER --tombstones {where}")
    print("  its published copy: inscene publish carries the removal; old commits keep the files")
    print("  backups, checkpoints trained on it, and features of clean images that a bench keeps:")
    print("    this command does not reach them (the last are in ~/.cache/inscene/references)")


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
