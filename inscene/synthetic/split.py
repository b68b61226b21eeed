"""Training and validation, by identity: nobody is in both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inscene.errors import UsageError, VerificationError
from inscene.seeds import Draws
from inscene.suggest import did_you_mean
from inscene.synthetic.prompts.authors_csv import CsvRow

Split = Literal["train", "validation"]

_IDENTITIES, _VALIDATION = 1005, 100  # [paper, table 1]


@dataclass(frozen=True)
class IdentitySplit:
    train: frozenset[str]
    validation: frozenset[str]

    def __post_init__(self) -> None:
        if both := self.train & self.validation:
            raise UsageError(
                f"the identity {min(both)!r} is in both splits, as one of {len(both)}",
                next_step="Leave each in one.",
            )

    def split_of(self, identity: str) -> Split:
        """Raises :class:`UsageError` for somebody whom the split does not know."""
        if identity in self.validation:
            return "validation"
        if identity in self.train:
            return "train"
        raise UsageError(f"the identity {identity!r} is in no split")


def split_by_hash(
    identities: Iterable[str], *, validation: int | None = None, seed: int = 0
) -> IdentitySplit:
    """The first identities in a keyed order are for validation.

    ``validation`` is their number; None keeps the paper's share, 100 of 1,005. The seed is one of
    its own, so that other images of the same people do not mean other splits.
    """
    everybody = sorted(set(identities))
    count = round(len(everybody) * _VALIDATION / _IDENTITIES) if validation is None else validation
    if not 0 <= count <= len(everybody):
        raise UsageError(f"{count} of {len(everybody)} identities cannot be for validation")
    draws = Draws("synthetic split", seed)
    chosen = frozenset(sorted(everybody, key=lambda name: (draws.seed(name), name))[:count])
    return IdentitySplit(frozenset(everybody) - chosen, chosen)


def split_by_csv(identities: Iterable[str], rows: Sequence[CsvRow]) -> IdentitySplit:
    """The identities of the authors' validation CSV are for validation, all others for training."""
    chosen = frozenset(row.identity for row in rows)
    return IdentitySplit(frozenset(identities) - chosen, chosen)


def split_by_list(identities: Collection[str], path: Path) -> IdentitySplit:
    """A text file names the identities for validation, one a line; ``#`` begins a comment.

    Raises :class:`UsageError` with file and line for somebody unknown or named twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot be read", where=str(path), why=f"{error}.") from error
    known, chosen = frozenset(identities), set[str]()
    for number, line in enumerate(lines, 1):
        identity = line.partition("#")[0].strip()
        if not identity:
            continue
        if identity not in known or identity in chosen:
            twice = identity in chosen
            raise UsageError(
                f"{identity!r} occurs twice" if twice else f"no identity {identity!r}",
                where=f"{path}:{number}",
                next_step="" if twice else _near(identity, known),
            )
        chosen.add(identity)
    if not chosen:
        raise UsageError("names nobody", where=str(path), next_step="One identity a line.")
    return IdentitySplit(known - chosen, frozenset(chosen))


def _near(identity: str, known: frozenset[str]) -> str:
    """A hint; a list of a thousand names would help nobody."""
    if (padded := identity.zfill(5)) in known:  # CelebRef-HQ's folders
        return f"Did you mean {padded!r}? A spreadsheet drops zeros."
    hint = did_you_mean(identity, known)
    return hint if hint.startswith("Did you mean") else f"There are {len(known)} identities."


def check_disjoint(pairs: Iterable[tuple[str, str]]) -> None:
    """Of (identity, split) pairs, of a plan or of a finished table.

    Raises :class:`VerificationError` for an identity with two splits.
    """
    found: dict[str, str] = {}
    for identity, split in pairs:
        if found.setdefault(identity, split) != split:
            raise VerificationError(
                f"the identity {identity!r} is in the splits {found[identity]!r} and {split!r}"
            )
