"""``licences.json``: licences that the user of this machine has said to accept.

They are asked for once, by weight and licence: another licence in a later manifest is asked for
again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from inscene.errors import UsageError
from inscene.weights.folder import weights_folder
from inscene.weights.manifest import Weight

OPTION = "--accept-licences"


def _file() -> Path:
    return weights_folder() / "licences.json"


def unaccepted(weights: Sequence[Weight]) -> list[Weight]:
    """Those of them that not everybody may use for everything, and that nobody has accepted."""
    accepted = _accepted()
    return [
        weight
        for weight in weights
        if weight.licence.commercial != "yes" and accepted.get(weight.name) != weight.licence.name
    ]


def accept(weights: Sequence[Weight]) -> None:
    """Remember it, where the folder of weights can be written; it may be shared and read-only."""
    new = {weight.name: weight.licence.name for weight in weights}
    path = _file()
    temporary = path.with_suffix(f".tmp-{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_accepted() | new, indent=1, sort_keys=True)
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)


def require(weights: Sequence[Weight], *, accepted: bool) -> None:
    """Raises ``UsageError`` with each licence that is still to be accepted; ``accepted`` does."""
    new = unaccepted(weights)
    if not new:
        return
    if accepted:
        accept(new)
        return
    licences = [
        f"{', '.join(names)}: {licence}, {allows}"
        for (licence, allows), names in by_licence(new).items()
    ]
    raise UsageError(
        "the licences of these weights have not been accepted yet",
        why="\n  ".join(licences),
        next_step=f"Read them where the weights are published, then add {OPTION}, once.",
    )


def by_licence(weights: Sequence[Weight]) -> dict[tuple[str, str], list[str]]:
    """(name, what it allows) of each licence -> the weights under it."""
    found: dict[tuple[str, str], list[str]] = {}
    for weight in weights:
        found.setdefault((weight.licence.name, weight.licence.allows), []).append(weight.name)
    return found


def _accepted() -> dict[str, str]:
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # asked for once more
    return content if isinstance(content, dict) else {}
