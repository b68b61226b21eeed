"""``inscene publish`` of a model's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inscene.cli.console import print_json
from inscene.errors import UsageError
from inscene.hub.statement import Statement


def publish_checkpoint(
    folder: Path,
    results: Sequence[str],
    method: str | None,
    statement: Statement,
    of_data: Mapping[str, Any],
    *,
    public: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send it with its card; ``of_data`` are options that only datasets have, as given.

    Raises :class:`UsageError` for one of those, and :class:`VerificationError` for a checkpoint
    that is not what it was when it was saved.
    """
    from inscene.face2scene import document
    from inscene.hub import model_card

    if given := [option for option, value in of_data.items() if value]:
        raise UsageError(f"{given[0]} is for datasets, and this is a checkpoint", where=str(folder))
    config, hashes = document.read(folder)
    document.verify(folder, config, hashes)
    card = model_card.checkpoint_card(folder, results, statement, method=method)
    sizes = {name: (folder / name).stat().st_size for name in [*sorted(hashes), document.DOCUMENT]}
    sizes["README.md"] = len(card.encode())
    commit = None
    if not dry_run:
        commit = model_card.publish_checkpoint(
            folder, results, statement, method=method, private=not public
        )
    if as_json:
        print_json({"repo": statement.repo, "commit": commit, "files": sizes, "card": card})
        return
    _print(statement.repo, sizes, commit, card if dry_run else "")


def _print(repo: str, sizes: Mapping[str, int], commit: str | None, card: str) -> None:
    from inscene.weights.sizes import in_words

    for name, size in sizes.items():
        print(f"  {in_words(size):>9}  {name}")
    total = in_words(sum(sizes.values()))
    if commit is None:
        print(f"{repo}: {len(sizes)} files ({total}) would be sent. The card:\n\n{card}")
    else:
        print(f"{repo}: {len(sizes)} files ({total}) are there: {commit}")
